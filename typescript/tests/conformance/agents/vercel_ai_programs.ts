// Vercel AI SDK: an agent whose tools are programs, as tests/durable/programs.py has them.

import * as restate from "@restatedev/restate-sdk";
import { durableCalls, hasTerminalToolError, rethrowTerminalToolError } from "@restatedev/vercel-ai-middleware";
import { generateText, isStepCount, tool, wrapLanguageModel } from "ai";
import { z } from "zod";
import { inputOf } from "../../../shared/claims.ts";
import * as llm from "../../../shared/llm.ts";
import { options, serve, serviceName } from "../../../shared/serving.ts";
import { ToolCalls, type Wait } from "../../../shared/tool_calls.ts";

type Command =
  | ["step", string]
  | ["gather", string[]]
  | ["select", string, number]
  | ["sleep", number]
  | ["call", string];

const Request = z.object({ prompt: z.string(), limit: z.number().nullish(), naive: z.boolean().nullish() });
const { RestatePromise } = restate;

const elsewhere = restate.service({
  name: serviceName("Elsewhere"),
  handlers: {
    perform_there: async (ctx: restate.Context, [name]: [string, string]) => await ctx.run(name, () => name),
  },
  options,
});

async function perform(program: Command[], ctx: restate.Context, wait: Wait, tag: string): Promise<string> {
  const results: string[] = [];
  for (const command of program) results.push(await performed(command, ctx, wait, tag));
  return results.join(" ");
}

async function performed(command: Command, ctx: restate.Context, wait: Wait, tag: string): Promise<string> {
  const step = (name: string) => ctx.run(name, () => name);
  switch (command[0]) {
    case "step":
      return await wait(step(command[1]));
    case "gather":
      return (await wait(RestatePromise.all(command[1].map(step)))).join("+");
    case "select": {
      const chosen = step(command[1]).map(() => "step");
      const timer = ctx.sleep({ seconds: command[2] }).map(() => "timer");
      return `${command[1]}:${await wait(RestatePromise.race([chosen, timer]))}`;
    }
    case "sleep":
      await wait(ctx.sleep({ seconds: command[1] }));
      return "slept";
    case "call":
      return await wait(ctx.serviceClient(elsewhere).perform_there([command[1], tag]));
  }
}

/** The context of an agent inside a tool call: its model's calls pass the turn on, too. */
const inTurn = (ctx: restate.Context, wait: Wait) =>
  ({
    run: (name: string, action: () => Promise<unknown>, runs: object) => wait(ctx.run(name, action, runs)),
  }) as unknown as restate.Context;

async function agent(ctx: restate.Context, prompt: string, limit: number | null | undefined, outer?: Wait) {
  const calls = new ToolCalls(outer, limit);
  const { text, steps } = await generateText({
    model: wrapLanguageModel({
      model: llm.openai(llm.MODEL),
      middleware: [durableCalls(outer ? inTurn(ctx, outer) : ctx, llm.RETRIES), llm.forTheJournal],
    }),
    prompt,
    tools: {
      work: tool({
        description: "Run a program.",
        inputSchema: z.object({ tag: z.string(), program: z.string() }),
        execute: ({ tag, program }, { toolCallId }) =>
          calls.turn(toolCallId, (wait) => perform(JSON.parse(program), ctx, wait, tag)),
      }),
      delegate: tool({
        description: "Let another agent do it.",
        inputSchema: z.object({ tag: z.string() }),
        execute: ({ tag }, { toolCallId }): Promise<string> =>
          calls.turn(toolCallId, (wait) => agent(ctx, `inner ${tag}`, limit, wait)),
      }),
      refuse: tool({
        description: "Answers an error to the model.",
        inputSchema: z.object({ tag: z.string() }),
        execute: ({ tag }, { toolCallId }): Promise<string> =>
          calls.turn(toolCallId, async () => {
            throw new Error(`refused ${tag}`);
          }),
      }),
    },
    onLanguageModelCallEnd: calls.expect,
    ...(limit && { toolCallConcurrency: limit }),
    stopWhen: [isStepCount(llm.MAX_TURNS), hasTerminalToolError],
    providerOptions: llm.OPTIONS,
  });
  steps.forEach(rethrowTerminalToolError);
  return llm.answer(text);
}

const run = (ctx: restate.Context, { prompt, limit }: z.infer<typeof Request>) => agent(ctx, prompt, limit);

const service = restate.service({
  name: serviceName("Programs"),
  handlers: { run: restate.handlers.handler({ input: inputOf(Request) }, run) },
  options,
});

serve(service, elsewhere);
