// Vercel AI SDK: one tool that fans out to three durable steps.
//
// node typescript/vercel_ai/parallel_tools_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { durableCalls, hasTerminalToolError, rethrowTerminalToolError } from "@restatedev/vercel-ai-middleware";
import { generateText, isStepCount, tool, wrapLanguageModel } from "ai";
import { z } from "zod";
import { checkEligibility, checkFraud, compareToStandardRates } from "../shared/checks.ts";
import { InsuranceClaim, inputOf, mismatchWith } from "../shared/claims.ts";
import * as llm from "../shared/llm.ts";
import { options, serve, serviceName } from "../shared/serving.ts";

const calculateMetrics = (ctx: restate.Context, submitted: InsuranceClaim) =>
  tool({
    description: "Check a claim: eligibility, cost against standard rates, fraud risk.",
    inputSchema: z.object({ claim: InsuranceClaim }),
    execute: async ({ claim }) => {
      const mismatch = mismatchWith(submitted, claim);
      if (mismatch) return [mismatch];
      return await restate.RestatePromise.all([
        ctx.run("eligibility", () => checkEligibility(claim)),
        ctx.run("cost", () => compareToStandardRates(claim)),
        ctx.run("fraud", () => checkFraud(claim)),
      ]);
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
    toolCallConcurrency: 1, // concurrent calls would replay in another order
    stopWhen: [isStepCount(llm.MAX_TURNS), hasTerminalToolError],
    providerOptions: llm.OPTIONS,
  });
  steps.forEach(rethrowTerminalToolError);
  return llm.answer(text);
}

const claimService = restate.service({
  name: serviceName("ParallelToolClaimAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(InsuranceClaim) }, run) },
  options,
});

serve(claimService);
