// Vercel AI SDK: one tool asks three specialist agents in parallel.
//
// node typescript/vercel_ai/specialist_agents_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { tool } from "ai";
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
import { alone, ToolCalls } from "../shared/tool_calls.ts";
import { checkTools } from "./check_tools.ts";
import { runAgent } from "./sdk.ts";

function ask(ctx: restate.Context, specialty: Specialty, claim: InsuranceClaim, wait = alone): Promise<string> {
  const calls = new ToolCalls(wait, 1);
  const tools = checkTools(ctx, claim, calls, [TEAM[specialty].check]);
  const specialist = { model: llm.model(specialty), instructions: instructionsOf(specialty), tools };
  return runAgent(ctx, specialist, question(specialty, claim), calls);
}

const calculateMetrics = (ctx: restate.Context, submitted: InsuranceClaim) =>
  tool({
    description: "Ask the specialists about a claim: medical necessity, cost, fraud risk.",
    inputSchema: z.object({ claim: InsuranceClaim }),
    execute: async ({ claim }) => {
      const mismatch = mismatchWith(submitted, claim);
      if (mismatch) return [mismatch];
      const key = JSON.stringify(claim); // a model that asks again about the same claim gets the same reports, and pays for none
      return await branches(ctx, alone, SPECIALTIES, (specialty, wait) => ask(ctx, specialty, claim, wait), key);
    },
  });

function run(ctx: restate.Context, claim: InsuranceClaim): Promise<string> {
  const agent = { instructions: llm.INSTRUCTIONS, tools: { calculate_metrics: calculateMetrics(ctx, claim) } };
  return runAgent(ctx, agent, `Claim: ${JSON.stringify(claim)}`);
}

const claimService = restate.service({
  name: serviceName("SpecialistAgentsClaimAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(InsuranceClaim) }, withinBudget(run)) },
  options,
});

serve(claimService, specialistService(ask));
