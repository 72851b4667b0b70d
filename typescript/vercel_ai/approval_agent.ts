// Vercel AI SDK: a person decides on a high or risky claim, as one step.
//
// node typescript/vercel_ai/approval_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { tool } from "ai";
import { z } from "zod";
import { approval, askAPerson, whyAPerson, withdrawnWithTheClaim } from "../shared/approval.ts";
import { eachCheck } from "../shared/checks.ts";
import { InsuranceClaim, inputOf, mismatchWith } from "../shared/claims.ts";
import * as llm from "../shared/llm.ts";
import { options, serve, serviceName } from "../shared/serving.ts";
import { streamed } from "../shared/streaming.ts";
import { runAgent } from "./sdk.ts";

const calculateMetrics = (ctx: restate.Context, submitted: InsuranceClaim) =>
  tool({
    description: "Check a claim: eligibility, cost against standard rates, fraud risk.",
    inputSchema: z.object({ claim: InsuranceClaim }),
    execute: async ({ claim }) => {
      const mismatch = mismatchWith(submitted, claim);
      if (mismatch) return [mismatch];
      const steps = eachCheck((name, { work }) => ctx.run(name, () => work(claim)));
      const checks = restate.RestatePromise.all(Object.values(steps));
      await restate.RestatePromise.race([steps.fraud, checks]); // a step runs only while it is awaited
      const why = whyAPerson(claim, await steps.fraud);
      if (!why) return await checks;
      return await restate.RestatePromise.all([...Object.values(steps), askAPerson(ctx, claim, why)]);
    },
  });

function run(ctx: restate.Context, claim: InsuranceClaim): Promise<string> {
  const agent = { instructions: llm.APPROVAL_INSTRUCTIONS, tools: { calculate_metrics: calculateMetrics(ctx, claim) } };
  return runAgent(ctx, agent, `Claim: ${JSON.stringify(claim)}`);
}

const claimService = restate.service({
  name: serviceName("ApprovalClaimAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(InsuranceClaim) }, streamed(withdrawnWithTheClaim(run))) },
  options,
});

serve(claimService, approval);
