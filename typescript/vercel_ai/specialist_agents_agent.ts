// Vercel AI SDK: three steps that are agents: specialists that work in parallel.
//
// node typescript/vercel_ai/specialist_agents_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { durableCalls, hasTerminalToolError, rethrowTerminalToolError } from "@restatedev/vercel-ai-middleware";
import { generateText, isStepCount, type ToolSet, tool, wrapLanguageModel } from "ai";
import { z } from "zod";
import { branches } from "../shared/branches.ts";
import { countedCalls } from "../shared/budget.ts";
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
import { alone, inTurn, type Wait } from "../shared/tool_calls.ts";

type Agent = { model: string; instructions: string; tools: ToolSet };

async function answer(ctx: restate.Context, wait: Wait, { model, ...agent }: Agent, prompt: string): Promise<string> {
  const { text, steps } = await generateText({
    model: wrapLanguageModel({
      model: llm.languageModel(model),
      middleware: [countedCalls(ctx), durableCalls(inTurn(ctx, wait), llm.DURABLE_CALLS), llm.forTheJournal],
    }),
    ...agent,
    prompt,
    toolCallConcurrency: 1, // should the model ask twice in a turn, it pays for the reports once
    stopWhen: [isStepCount(llm.MAX_TURNS), hasTerminalToolError],
    providerOptions: llm.OPTIONS,
  });
  steps.forEach(rethrowTerminalToolError);
  return llm.answer(text);
}

function specialists(ctx: restate.Context, wait: Wait, submitted: InsuranceClaim): Record<Specialty, Agent> {
  const check = (description: string, step: string, work: (claim: InsuranceClaim) => Promise<string>) =>
    tool({
      description,
      inputSchema: z.object({ claim: InsuranceClaim }),
      execute: async ({ claim }) => mismatchWith(submitted, claim) ?? (await wait(ctx.run(step, () => work(claim)))),
    });
  return {
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
}

const ask = (ctx: restate.Context, wait: Wait, specialty: Specialty, claim: InsuranceClaim) =>
  answer(ctx, wait, specialists(ctx, wait, claim)[specialty], question(specialty, claim));

const calculateMetrics = (ctx: restate.Context, submitted: InsuranceClaim) =>
  tool({
    description: "Ask the specialists about a claim: medical necessity, cost, fraud risk.",
    inputSchema: z.object({ claim: InsuranceClaim }),
    execute: async ({ claim }) => {
      const mismatch = mismatchWith(submitted, claim);
      if (mismatch) return [mismatch];
      const report = (specialty: Specialty, wait: Wait) => ask(ctx, wait, specialty, claim);
      return await branches(ctx, alone, SPECIALTIES, report, JSON.stringify(claim));
    },
  });

function run(ctx: restate.Context, claim: InsuranceClaim): Promise<string> {
  const tools = { calculate_metrics: calculateMetrics(ctx, claim) };
  const agent = { model: llm.MODEL, instructions: llm.INSTRUCTIONS, tools };
  return answer(ctx, alone, agent, `Claim: ${JSON.stringify(claim)}`);
}

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
