// The run of an agent on Vercel AI, which parallel_tools_agent.ts spells out.

import type { Context } from "@restatedev/restate-sdk";
import { durableCalls, hasTerminalToolError, rethrowTerminalToolError } from "@restatedev/vercel-ai-middleware";
import { generateText, isStepCount, type ToolSet, wrapLanguageModel } from "ai";
import { countedCalls } from "../shared/budget.ts";
import * as llm from "../shared/llm.ts";
import { alone, inTurn, ToolCalls } from "../shared/tool_calls.ts";

type Agent = { model?: string; instructions?: string; tools: ToolSet };

/** The agent's answer to the prompt. Its tool calls run one by one, unless they take turns in `calls`.
 *
 * Throws: TerminalError when the model cannot be reached, gives no answer in `MAX_TURNS` turns, or a tool throws it.
 */
export async function runAgent(
  ctx: Context,
  { model, ...agent }: Agent,
  prompt: string,
  calls = new ToolCalls(alone, 1), // concurrent calls would replay in another order
): Promise<string> {
  const { text, steps } = await generateText({
    ...agent,
    model: wrapLanguageModel({
      model: llm.languageModel(model),
      middleware: [countedCalls(ctx), durableCalls(inTurn(ctx, calls.wait), llm.DURABLE_CALLS), llm.forTheJournal],
    }),
    prompt,
    onLanguageModelCallEnd: calls.expectThoseOf,
    ...(Number.isFinite(calls.limit) && { toolCallConcurrency: calls.limit }),
    stopWhen: [isStepCount(llm.MAX_TURNS), hasTerminalToolError],
    providerOptions: llm.OPTIONS,
  });
  steps.forEach(rethrowTerminalToolError);
  return llm.answer(text);
}
