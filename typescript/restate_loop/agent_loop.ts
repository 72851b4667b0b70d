// An agent loop of our own, in one screen: call the model, run all tool calls of the turn in parallel, repeat.
//
// A tool returns a RestatePromise, and no other promise: so it creates its steps before anything is awaited, and the
// tool calls of a turn are in the journal in the order in which the model asked for them, on every replay.

import { type Context, RestatePromise, TerminalError } from "@restatedev/restate-sdk";
import { generateText, type ModelMessage, type ToolSet, tool } from "ai";
import type { z } from "zod";
import * as llm from "../shared/llm.ts";

/** A tool of the loop. An async function, which could race for the journal, is none: the compiler refuses it. */
export type Tool<Given, Input extends z.ZodType = z.ZodType> = {
  description: string;
  input: Input;
  run(ctx: Context, input: z.infer<Input>, given: Given): RestatePromise<string | string[]>;
};

/** A tool whose `run` gets what its `input` describes. */
export const defineTool = <Given, Input extends z.ZodType>(tool: Tool<Given, Input>): Tool<Given> =>
  tool as Tool<Given>;

const AT_ONCE = Number(process.env.TOOL_CALLS_AT_ONCE) || 128;
const NO_TOOL = RestatePromise.resolve("");

/** The model's answer to the prompt; the tools see `given`, the model does not.
 *
 * Throws: TerminalError when the model cannot be reached, says nothing, or asks for tools in every one of `MAX_TURNS`
 * turns.
 */
export async function runAgent<Given>(
  ctx: Context,
  instructions: string,
  prompt: string,
  tools: Record<string, Tool<Given>>,
  given: Given,
): Promise<string> {
  const shown: ToolSet = Object.fromEntries(
    Object.entries(tools).map(([name, { description, input }]) => [name, tool({ description, inputSchema: input })]),
  );
  const messages: ModelMessage[] = [{ role: "user", content: prompt }];
  for (let turn = 0; turn < llm.MAX_TURNS; turn++) {
    const said = await ctx.run("call LLM", () => callModel(instructions, messages, shown), llm.RETRIES);
    if (!said.asks) return llm.answer(said.text);
    messages.push(...said.messages);
    const results: (string | string[])[] = [];
    for (let first = 0; first < said.calls.length; first += AT_ONCE) {
      const calls = said.calls.slice(first, first + AT_ONCE);
      const run = calls.map(({ toolName, input }) => tools[toolName]?.run(ctx, input, given) ?? NO_TOOL);
      results.push(...(await RestatePromise.all(run)));
    }
    for (const [at, { toolCallId, toolName }] of said.calls.entries()) {
      const output = { type: "json" as const, value: results[at] ?? "" };
      messages.push({ role: "tool", content: [{ type: "tool-result", toolCallId, toolName, output }] });
    }
  }
  throw new TerminalError(`the model gave no answer in ${llm.MAX_TURNS} turns`);
}

/** One turn of the model. It is told in `messages` already of an unknown tool, and of arguments that do not fit. */
async function callModel(instructions: string, messages: ModelMessage[], tools: ToolSet) {
  const said = await generateText({ model: llm.openai.chat(llm.MODEL), instructions, messages, tools, maxRetries: 0 });
  const calls = said.toolCalls.filter(({ invalid }) => !invalid);
  return {
    text: said.text,
    asks: said.toolCalls.length > 0,
    messages: said.response.messages,
    calls: calls.map(({ toolCallId, toolName, input }) => ({ toolCallId, toolName, input })),
    usage: said.usage.raw,
  };
}
