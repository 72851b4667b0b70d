// Vercel AI SDK: the caller sees the claim as it happens, through a crash.
//
// node typescript/vercel_ai/streaming_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { hasTerminalToolError, rethrowTerminalToolError } from "@restatedev/vercel-ai-middleware";
import { isStepCount, simulateStreamingMiddleware, streamText, tool, wrapLanguageModel } from "ai";
import { z } from "zod";
import { eachCheck } from "../shared/checks.ts";
import { InsuranceClaim, inputOf, mismatchWith } from "../shared/claims.ts";
import * as llm from "../shared/llm.ts";
import { options, serve, serviceName } from "../shared/serving.ts";
import { streamedCalls } from "../shared/streamed_calls.ts";
import { streamed } from "../shared/streaming.ts";

const calculateMetrics = (ctx: restate.Context, submitted: InsuranceClaim) =>
  tool({
    description: "Check a claim: eligibility, cost against standard rates, fraud risk.",
    inputSchema: z.object({ claim: InsuranceClaim }),
    execute: async ({ claim }) => {
      const mismatch = mismatchWith(submitted, claim);
      if (mismatch) return [mismatch];
      const steps = eachCheck((name, { work }) => ctx.run(name, () => work(claim)));
      return await restate.RestatePromise.all(Object.values(steps));
    },
  });

async function run(ctx: restate.Context, claim: InsuranceClaim): Promise<string> {
  const result = streamText({
    model: wrapLanguageModel({
      model: llm.languageModel(),
      middleware: [simulateStreamingMiddleware(), streamedCalls(ctx)],
    }),
    instructions: llm.INSTRUCTIONS,
    prompt: `Claim: ${JSON.stringify(claim)}`,
    tools: { calculate_metrics: calculateMetrics(ctx, claim) },
    toolCallConcurrency: 1, // concurrent calls would replay in another order
    stopWhen: [isStepCount(llm.MAX_TURNS), hasTerminalToolError],
    providerOptions: llm.OPTIONS,
    onError: () => {}, // thrown below
  });
  // `streamedCalls` has reported the text. `steps` and `text` are read last, or nobody would handle their rejections.
  for await (const part of result.stream) if (part.type === "error") throw part.error;
  (await result.steps).forEach(rethrowTerminalToolError);
  return llm.answer(await result.text);
}

const claimService = restate.service({
  name: serviceName("StreamingClaimAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(InsuranceClaim) }, streamed(run)) },
  options,
});

serve(claimService);
