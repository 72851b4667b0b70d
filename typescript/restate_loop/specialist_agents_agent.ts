// No agent SDK: a loop of our own (agent_loop.ts), and three steps that are agents: specialists that work in parallel.
//
// node typescript/restate_loop/specialist_agents_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { z } from "zod";
import { branches } from "../shared/branches.ts";
import { checkEligibility, checkFraud, compareToStandardRates } from "../shared/checks.ts";
import { InsuranceClaim, inputOf, mismatchWith } from "../shared/claims.ts";
import * as llm from "../shared/llm.ts";
import { options, serve, serviceName } from "../shared/serving.ts";
import {
  Assignment,
  COST,
  FRAUD,
  MEDICAL,
  question,
  reported,
  SPECIALTIES,
  type Specialty,
  withinBudget,
} from "../shared/specialists.ts";
import { alone, type Wait } from "../shared/tool_calls.ts";
import { defineTool, runAgent, type Tool } from "./agent_loop.ts";

const Metrics = z.object({ claim: InsuranceClaim });

const check = (description: string, step: string, work: (claim: InsuranceClaim) => Promise<string>) =>
  defineTool<InsuranceClaim, typeof Metrics>({
    description,
    input: Metrics,
    run: (ctx, { claim }, submitted) => {
      const mismatch = mismatchWith(submitted, claim);
      if (mismatch) return restate.RestatePromise.resolve(mismatch);
      return ctx.run(step, () => work(claim));
    },
  });

type Specialist = { model: string; instructions: string; tools: Record<string, Tool<InsuranceClaim>> };

const SPECIALISTS: Record<Specialty, Specialist> = {
  medical: {
    model: llm.model("medical"),
    instructions: MEDICAL,
    tools: {
      check_eligibility: check(
        "Is the treatment covered, at this place, on this day?",
        "eligibility",
        checkEligibility,
      ),
    },
  },
  cost: {
    model: llm.model("cost"),
    instructions: COST,
    tools: { compare_to_standard_rates: check("Is the amount reasonable?", "cost", compareToStandardRates) },
  },
  fraud: {
    model: llm.model("fraud"),
    instructions: FRAUD,
    tools: { check_fraud: check("How high is the risk of fraud?", "fraud", checkFraud) },
  },
};

function ask(ctx: restate.Context, wait: Wait, specialty: Specialty, claim: InsuranceClaim): Promise<string> {
  const { model, instructions, tools } = SPECIALISTS[specialty];
  return runAgent(ctx, instructions, question(specialty, claim), tools, claim, { model, wait });
}

const calculate_metrics = defineTool<InsuranceClaim, typeof Metrics>({
  description: "Ask the specialists about a claim: medical necessity, cost, fraud risk.",
  input: Metrics,
  run: (ctx, { claim }, submitted) => {
    const mismatch = mismatchWith(submitted, claim);
    if (mismatch) return restate.RestatePromise.resolve([mismatch]);
    const report = (specialty: Specialty, wait: Wait) => ask(ctx, wait, specialty, claim);
    return { inTurn: (wait) => branches(ctx, wait, SPECIALTIES, report, JSON.stringify(claim)) };
  },
});

const run = (ctx: restate.Context, claim: InsuranceClaim) =>
  runAgent(ctx, llm.INSTRUCTIONS, `Claim: ${JSON.stringify(claim)}`, { calculate_metrics }, claim, {
    toolsAtOnce: 1, // should the model ask twice in a turn, it pays for the reports once
  });

const report = (ctx: restate.Context, { specialty, claim }: Assignment) => ask(ctx, alone, specialty, claim);

const claimService = restate.service({
  name: serviceName("SpecialistAgentsClaimAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(InsuranceClaim) }, withinBudget(run)) },
  options,
});

const specialistService = restate.service({
  name: serviceName("ClaimSpecialists"),
  handlers: { report: restate.handlers.handler({ input: inputOf(Assignment, "assignment") }, reported(report)) },
  options,
});

serve(claimService, specialistService);
