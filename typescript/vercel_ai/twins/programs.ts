// Vercel AI SDK: an agent whose tools are programs.

import type { Context } from "@restatedev/restate-sdk";
import { tool } from "ai";
import { ToolCalls, type Wait } from "../../shared/tool_calls.ts";
import { perform, type Request, serveAgent, Tag, Work } from "../../tests/programs.ts";
import { runAgent } from "../sdk.ts";

function agent(ctx: Context, { prompt, limit }: Request, outer?: Wait): Promise<string> {
  const calls = new ToolCalls(outer, limit);
  const tools = {
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
  };
  return runAgent(ctx, { tools }, prompt, calls);
}

serveAgent((ctx, request) => agent(ctx, request));
