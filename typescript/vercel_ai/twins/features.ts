// Vercel AI SDK: what it brings, a handler for each feature. Of `shared/`, only how to serve and where the model is.

import * as restate from "@restatedev/restate-sdk";
import { durableCalls } from "@restatedev/vercel-ai-middleware";
import {
  createProviderRegistry,
  generateText,
  isStepCount,
  type LanguageModelMiddleware,
  type ModelMessage,
  Output,
  type ToolSet,
  tool,
  wrapLanguageModel,
} from "ai";
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

const OPTIONS = { openai: { store: false } };

const durable = (ctx: restate.Context, ...middleware: LanguageModelMiddleware[]) =>
  wrapLanguageModel({ model: llm.languageModel(), middleware: [...middleware, durableCalls(ctx)] });

const ask = async (ctx: restate.Context, prompt: string, tools: ToolSet = {}, instructions = INSTRUCTIONS) =>
  (
    await generateText({
      model: durable(ctx),
      instructions,
      prompt,
      tools,
      stopWhen: isStepCount(5),
      providerOptions: OPTIONS,
    })
  ).text;

const features: Features = {
  caching: (ctx, prompt) =>
    ask(ctx, prompt, {
      look_up: tool({ description: "The weather.", inputSchema: z.object({ city: z.string() }), execute: lookUp }),
    }),

  structured: async (ctx, prompt) => {
    const output = Output.object({ schema: Decision });
    return (await generateText({ model: durable(ctx), prompt, output, providerOptions: OPTIONS })).output;
  },

  mcp: (ctx, prompt) =>
    ask(ctx, prompt, {
      find: tool({
        description: "Find it.",
        inputSchema: z.object({ tag: z.string() }),
        execute: async (input) => await ctx.run("find", () => find(input)),
      }),
    }),

  sessions: async (ctx, prompt) => {
    const before = (await ctx.get<ModelMessage[]>("messages")) ?? [];
    const messages: ModelMessage[] = [...before, { role: "user", content: prompt }];
    const { text, response } = await generateText({ model: durable(ctx), messages, providerOptions: OPTIONS });
    ctx.set("messages", [...messages, ...response.messages]);
    return text;
  },

  handoffs: (ctx, prompt) =>
    ask(ctx, prompt, {
      ask_specialist: tool({
        description: "Ask the specialist.",
        inputSchema: z.object({ question: z.string() }),
        execute: ({ question }): Promise<string> => ask(ctx, question, {}, SPECIALIST),
      }),
    }),

  approvals: async (ctx, prompt) => {
    const inputSchema = z.object({ amount: z.number() });
    const settings = {
      model: durable(ctx),
      tools: { pay: tool({ description: "Pay.", inputSchema, execute: pay, needsApproval: true }) },
      providerOptions: OPTIONS,
    };
    const messages: ModelMessage[] = [{ role: "user", content: prompt }];
    const { content, response } = await generateText({ ...settings, messages });
    messages.push(...response.messages);
    for (const part of content) {
      if (part.type !== "tool-approval-request") continue;
      const approved = await askAPerson(ctx);
      messages.push({
        role: "tool",
        content: [{ type: "tool-approval-response", approvalId: part.approvalId, approved }],
      });
    }
    return (await generateText({ ...settings, messages })).text;
  },

  guardrails: async (ctx, prompt) => {
    const noWeapons: LanguageModelMiddleware = {
      specificationVersion: "v4",
      transformParams: async ({ params }) => {
        if (JSON.stringify(params.prompt).includes("weapon")) {
          throw new restate.TerminalError("no weapons", { errorCode: 422 });
        }
        return params;
      },
    };
    return (await generateText({ model: durable(ctx, noWeapons), prompt, providerOptions: OPTIONS })).text;
  },

  providers: async (ctx, prompt) => {
    const registry = createProviderRegistry({ openai: llm.openai });
    const model = registry.languageModel(prompt.split(" ")[0] as `openai:${string}`);
    const middleware = durableCalls(ctx);
    return (await generateText({ model: wrapLanguageModel({ model, middleware }), prompt, providerOptions: OPTIONS }))
      .text;
  },
};

serveFeatures(features);
