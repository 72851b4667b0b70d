// No agent SDK, on the loop in agent_loop.ts: one tool asks three specialist agents in parallel.
//
// node typescript/restate_loop/specialist_agents_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { z } from "zod";
import { branches } from "../shared/branches.ts";
import { InsuranceClaim, inputOf, mismatchWith } from "../shared/claims.ts";
import * as llm from "../shared/llm.ts";
import { options, serve, serviceName } from "../shared/serving.ts";
import {
  instructionsOf,
  question,
  SPECIALTIES,
  type Specialty,
  specialistService,
  TEAM,
  withinBudget,
} from "../shared/specialists.ts";
import { alone } from "../shared/tool_calls.ts";
import { defineTool, runAgent } from "./agent_loop.ts";
import { checkTools } from "./check_tools.ts";

function ask(ctx: restate.Context, specialty: Specialty, claim: InsuranceClaim, wait = alone): Promise<string> {
  const tools = checkTools([TEAM[specialty].check]);
  const how = { model: llm.model(specialty), wait };
  return runAgent(ctx, instructionsOf(specialty), question(specialty, claim), tools, claim, how);
}

const Metrics = z.object({ claim: InsuranceClaim });

const calculate_metrics = defineTool<InsuranceClaim, typeof Metrics>({
  description: "Ask the specialists about a claim: medical necessity, cost, fraud risk.",
  input: Metrics,
  run: (ctx, { claim }, submitted) => {
    const mismatch = mismatchWith(submitted, claim);
    if (mismatch) return restate.RestatePromise.resolve([mismatch]);
    const key = JSON.stringify(claim); // a model that asks again about the same claim gets the same reports, and pays for none
    return {
      inTurn: (wait) => branches(ctx, wait, SPECIALTIES, (specialty, wait) => ask(ctx, specialty, claim, wait), key),
    };
  },
});

const run = (ctx: restate.Context, claim: InsuranceClaim) =>
  runAgent(ctx, llm.INSTRUCTIONS, `Claim: ${JSON.stringify(claim)}`, { calculate_metrics }, claim, {
    toolsAtOnce: 1, // a second request in the turn finds the reports of the first
  });

const claimService = restate.service({
  name: serviceName("SpecialistAgentsClaimAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(InsuranceClaim) }, withinBudget(run)) },
  options,
});

serve(claimService, specialistService(ask));
