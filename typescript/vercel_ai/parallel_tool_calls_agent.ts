// Vercel AI SDK: the model asks for three tools in one turn, and they run in parallel.
//
// node typescript/vercel_ai/parallel_tool_calls_agent.ts

import * as restate from "@restatedev/restate-sdk";
import { durableCalls, hasTerminalToolError, rethrowTerminalToolError } from "@restatedev/vercel-ai-middleware";
import { generateText, isStepCount, tool, wrapLanguageModel } from "ai";
import { z } from "zod";
import { checkEligibility, checkFraud, compareToStandardRates } from "../shared/checks.ts";
import { InsuranceClaim, inputOf, mismatchWith } from "../shared/claims.ts";
import * as llm from "../shared/llm.ts";
import { options, serve, serviceName } from "../shared/serving.ts";
import { ToolCalls } from "../shared/tool_calls.ts";

function toolsOf(ctx: restate.Context, submitted: InsuranceClaim, calls: ToolCalls) {
  const check = (description: string, step: string, work: (claim: InsuranceClaim) => Promise<string>) =>
    tool({
      description,
      inputSchema: z.object({ claim: InsuranceClaim }),
      execute: ({ claim }, { toolCallId }) =>
        calls.turn(toolCallId, async (wait) => {
          const mismatch = mismatchWith(submitted, claim);
          if (mismatch) return mismatch;
          return await wait(ctx.run(step, () => work(claim)));
        }),
    });
  return {
    check_eligibility: check("Is the treatment covered, at this place, on this day?", "eligibility", checkEligibility),
    compare_to_standard_rates: check("Is the amount reasonable?", "cost", compareToStandardRates),
    check_fraud: check("How high is the risk of fraud?", "fraud", checkFraud),
  };
}

async function run(ctx: restate.Context, claim: InsuranceClaim): Promise<string> {
  const calls = new ToolCalls();
  const { text, steps } = await generateText({
    model: wrapLanguageModel({
      model: llm.languageModel(),
      middleware: [durableCalls(ctx, llm.DURABLE_CALLS), llm.forTheJournal],
    }),
    instructions: llm.THREE_TOOLS_INSTRUCTIONS,
    prompt: `Claim: ${JSON.stringify(claim)}`,
    tools: toolsOf(ctx, claim, calls),
    onLanguageModelCallEnd: calls.expectThoseOf,
    stopWhen: [isStepCount(llm.MAX_TURNS), hasTerminalToolError],
    providerOptions: llm.OPTIONS,
  });
  steps.forEach(rethrowTerminalToolError);
  return llm.answer(text);
}

const claimService = restate.service({
  name: serviceName("ParallelToolCallsClaimAgent"),
  handlers: { run: restate.handlers.handler({ input: inputOf(InsuranceClaim) }, run) },
  options,
});

serve(claimService);
