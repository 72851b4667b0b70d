// Vercel AI SDK: one tool that calls three checks in a service of their own, in Python or in TypeScript.
//
// Each call is an invocation of its own, which Restate retries alone.
//
// node typescript/deploy/remote_checks/vercel_ai_remote.ts

import * as restate from "@restatedev/restate-sdk";
import { durableCalls, hasTerminalToolError, rethrowTerminalToolError } from "@restatedev/vercel-ai-middleware";
import { generateText, isStepCount, tool, wrapLanguageModel } from "ai";
import { z } from "zod";
import { InsuranceClaim, inputOf, mismatchWith } from "../../shared/claims.ts";
import * as llm from "../../shared/llm.ts";
import { options, serve, serviceName } from "../../shared/serving.ts";
import type { ClaimChecks } from "../check_services.ts";

const calculateMetrics = (ctx: restate.Context, submitted: InsuranceClaim) =>
  tool({
    description: "Check a claim: eligibility, cost against standard rates, fraud risk.",
    inputSchema: z.object({ claim: InsuranceClaim }),
    execute: async ({ claim }) => {
      const mismatch = mismatchWith(submitted, claim);
      if (mismatch) return [mismatch];
      const checks = ctx.serviceClient<ClaimChecks>({ name: "ClaimChecks" });
      return await restate.RestatePromise.all([checks.eligibility(claim), checks.cost(claim), checks.fraud(claim)]);
    },
  });

async function run(ctx: restate.Context, claim: InsuranceClaim): Promise<string> {
  const { text, steps } = await generateText({
    model: wrapLanguageModel({
      model: llm.languageModel(),
      middleware: [durableCalls(ctx, llm.DURABLE_CALLS), llm.forTheJournal],
    }),
    instructions: llm.INSTRUCTIONS,
    prompt: `Claim: ${JSON.stringify(claim)}`,
    tools: { calculate_metrics: calculateMetrics(ctx, claim) },
    toolCallConcurrency: 1, // several at once would not be replayed in the same order
    stopWhen: [isStepCount(llm.MAX_TURNS), hasTerminalToolError],
    providerOptions: llm.OPTIONS,
  });
  steps.forEach(rethrowTerminalToolError);
  return llm.answer(text);
}

const claimService = restate.service({
  name: serviceName("RemoteChecksClaimAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(InsuranceClaim) }, run) },
  options,
});

serve(claimService);
