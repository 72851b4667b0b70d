// Vercel AI SDK: an agent whose tools are programs.

import type { Context } from "@restatedev/restate-sdk";
import { durableCalls, hasTerminalToolError, rethrowTerminalToolError } from "@restatedev/vercel-ai-middleware";
import { generateText, isStepCount, tool, wrapLanguageModel } from "ai";
import * as llm from "../../../shared/llm.ts";
import { inTurn, ToolCalls, type Wait } from "../../../shared/tool_calls.ts";
import { perform, type Request, serveAgent, Tag, Work } from "./programs.ts";

async function agent(ctx: Context, { prompt, limit }: Request, outer?: Wait): Promise<string> {
  const calls = new ToolCalls(outer, limit);
  const { text, steps } = await generateText({
    model: wrapLanguageModel({
      model: llm.languageModel(),
      middleware: [durableCalls(outer ? inTurn(ctx, outer) : ctx, llm.DURABLE_CALLS), llm.forTheJournal],
    }),
    prompt,
    tools: {
      work: tool({
        description: "Run a program.",
        inputSchema: Work,
        execute: (work, { toolCallId }) => calls.turn(toolCallId, (wait) => perform(work, ctx, wait)),
      }),
      delegate: tool({
        description: "Let another agent do it.",
        inputSchema: Tag,
        execute: ({ tag }, { toolCallId }): Promise<string> =>
          calls.turn(toolCallId, (wait) => agent(ctx, { prompt: `inner ${tag}`, limit }, wait)),
      }),
      refuse: tool({
        description: "Answers an error to the model.",
        inputSchema: Tag,
        execute: ({ tag }, { toolCallId }): Promise<string> =>
          calls.turn(toolCallId, async () => {
            throw new Error(`refused ${tag}`);
          }),
      }),
    },
    onLanguageModelCallEnd: calls.expectThoseOf,
    ...(limit && { toolCallConcurrency: limit }),
    stopWhen: [isStepCount(llm.MAX_TURNS), hasTerminalToolError],
    providerOptions: llm.OPTIONS,
  });
  steps.forEach(rethrowTerminalToolError);
  return llm.answer(text);
}

serveAgent((ctx, request) => agent(ctx, request));
