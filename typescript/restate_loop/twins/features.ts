// No agent SDK: each feature by hand, in a handler of its own.

import { TerminalError } from "@restatedev/restate-sdk";
import { generateText, Output } from "ai";
import { z } from "zod";
import * as llm from "../../shared/llm.ts";
import {
  askAPerson,
  Decision,
  type Features,
  find,
  INSTRUCTIONS,
  lookUp,
  pay,
  SPECIALIST,
  serveFeatures,
} from "../../tests/features.ts";
import { defineTool, runAgent } from "../agent_loop.ts";

const features: Features = {
  caching: (ctx, prompt) =>
    runAgent(
      ctx,
      INSTRUCTIONS,
      prompt,
      {
        look_up: defineTool({
          description: "The weather.",
          input: z.object({ city: z.string() }),
          run: (ctx, input) => ctx.run("look up", () => lookUp(input)),
        }),
      },
      undefined,
    ),

  structured: async (ctx, prompt) =>
    await ctx.run(
      "call LLM",
      async () => {
        const output = Output.object({ schema: Decision });
        return (await generateText({ model: llm.openai.chat(llm.MODEL), prompt, output })).output;
      },
      llm.RETRIES,
    ),

  mcp: (ctx, prompt) =>
    runAgent(
      ctx,
      "",
      prompt,
      {
        find: defineTool({
          description: "Find it.",
          input: z.object({ tag: z.string() }),
          run: (ctx, input) => ctx.run("find", () => find(input)),
        }),
      },
      undefined,
    ),

  sessions: async (ctx, prompt) => {
    const said = (await ctx.get<string[]>("said")) ?? [];
    const answer = await runAgent(ctx, said.join("\n"), prompt, {}, undefined);
    ctx.set("said", [...said, `user: ${prompt}`, `you: ${answer}`]);
    return answer;
  },

  handoffs: (ctx, prompt) =>
    runAgent(
      ctx,
      "",
      prompt,
      {
        ask_specialist: defineTool({
          description: "Ask the specialist.",
          input: z.object({ question: z.string() }),
          run: (ctx, { question }) => ({
            inTurn: (wait) => runAgent(ctx, SPECIALIST, question, {}, undefined, { wait }),
          }),
        }),
      },
      undefined,
    ),

  approvals: (ctx, prompt) =>
    runAgent(
      ctx,
      "",
      prompt,
      {
        pay: defineTool({
          description: "Pay.",
          input: z.object({ amount: z.number() }),
          run: (_, input) => ({ inTurn: async () => ((await askAPerson(ctx)) ? await pay(input) : "refused") }),
        }),
      },
      undefined,
    ),

  guardrails: async (ctx, prompt) => {
    if (prompt.includes("weapon")) throw new TerminalError("no weapons", { errorCode: 422 });
    return await runAgent(ctx, "", prompt, {}, undefined);
  },

  providers: (ctx, prompt) => runAgent(ctx, "", prompt, {}, undefined, { model: prompt.split(" ")[0] ?? "" }),
};

serveFeatures(features);
