// The agent loop, on one screen: call the model, run all tool calls of the turn in parallel, repeat.
//
// `ToolCalls` lets one tool's code run at a time, in the same order on every replay. The steps of all tools
// overlap.

import { type Context, type RestatePromise, TerminalError } from "@restatedev/restate-sdk";
import { generateText, type ModelMessage, type ToolSet, tool, wrapLanguageModel } from "ai";
import type { z } from "zod";
import { writable } from "../shared/answers.ts";
import { counted } from "../shared/budget.ts";
import * as llm from "../shared/llm.ts";
import { overAStream } from "../shared/streamed_calls.ts";
import { type Call, modelCall, type Said } from "../shared/streaming.ts";
import { alone, ToolCalls, type Wait } from "../shared/tool_calls.ts";

type Result = string | string[];

/** A tool of the loop: it creates all its steps at once, or takes them one by one `inTurn`.
 *
 * The compiler rejects an async function, which could race for the journal.
 */
export type Tool<Given, Input extends z.ZodType = z.ZodType> = {
  description: string;
  input: Input;
  run(
    ctx: Context,
    input: z.infer<Input>,
    given: Given,
  ): RestatePromise<Result> | { inTurn(wait: Wait): Promise<Result> };
};

/** A tool whose `run` gets the arguments that its `input` describes. */
export const defineTool = <Given, Input extends z.ZodType>(tool: Tool<Given, Input>): Tool<Given> =>
  tool as Tool<Given>;

/** `toolsAtOnce` limits the tool calls that run at the same time. An agent inside a tool passes on the tool's `wait`. */
export type Options = { model?: string; toolsAtOnce?: number; wait?: Wait };

/** The model's answer to the prompt; the tools see `given`, the model does not.
 *
 * Throws: TerminalError when the model cannot be reached, says nothing, or asks for tools in each of `MAX_TURNS`
 * turns.
 */
export async function runAgent<Given>(
  ctx: Context,
  instructions: string,
  prompt: string,
  tools: Record<string, Tool<Given>>,
  given: Given,
  { model = llm.MODEL, toolsAtOnce, wait = alone }: Options = {},
): Promise<string> {
  const shown: ToolSet = Object.fromEntries(
    Object.entries(tools).map(([name, { description, input }]) => [name, tool({ description, inputSchema: input })]),
  );
  const calls = new ToolCalls(wait, toolsAtOnce);
  const messages: ModelMessage[] = [{ role: "user", content: prompt }];
  for (let turn = 0; turn < llm.MAX_TURNS; turn++) {
    const call = modelCall(ctx);
    const ask = () => callModel(model, instructions, messages, shown, call?.attempt());
    const said = await counted(
      ctx,
      () => wait(ctx.run("call LLM", ask, llm.RETRIES)),
      ({ usage }) => usage,
    );
    call?.inJournal(said.text, said.messages.flatMap(callsIn));
    if (!said.asks) return llm.answer(said.text);
    messages.push(...said.messages);
    calls.expect(said.calls.map(({ toolCallId }) => toolCallId));
    const results = await Promise.allSettled(
      said.calls.map(({ toolCallId, toolName, input }) =>
        calls.turn(toolCallId, async (wait): Promise<ModelMessage> => {
          const doing = (tools[toolName] as Tool<Given>).run(ctx, input, given);
          const value = await ("inTurn" in doing ? doing.inTurn(wait) : wait(doing));
          const output = { type: "json" as const, value };
          return { role: "tool", content: [{ type: "tool-result", toolCallId, toolName, output }] };
        }),
      ),
    );
    for (const result of results) {
      if (result.status === "rejected") throw result.reason; // all tool calls have ended
      messages.push(result.value);
    }
  }
  throw new TerminalError(`the model gave no answer in ${llm.MAX_TURNS} turns`);
}

/** One turn of the model. Its `messages` already tell it of an unknown tool, and of arguments that do not fit.
 *
 * The model streams if `heard` is given.
 */
async function callModel(name: string, instructions: string, messages: ModelMessage[], tools: ToolSet, heard?: Said) {
  const middleware = heard ? [overAStream(heard)] : [];
  const model = wrapLanguageModel({ model: llm.openai.chat(name), middleware });
  const said = await generateText({ model, instructions, messages, tools, maxRetries: 0 });
  const calls = said.toolCalls.filter(({ invalid }) => !invalid);
  return writable({
    text: said.text,
    asks: said.toolCalls.length > 0,
    messages: said.response.messages,
    calls: calls.map(({ toolCallId, toolName, input }) => ({ toolCallId, toolName, input })),
    usage: said.usage.raw,
  });
}

/** The tool calls in a message of the model. */
function callsIn({ role, content }: ModelMessage): Call[] {
  if (role !== "assistant" || typeof content === "string") return [];
  const calls = content.filter((part) => part.type === "tool-call");
  return calls.map(({ toolCallId, toolName, input }) => ({
    id: toolCallId,
    name: toolName,
    arguments: JSON.stringify(input),
  }));
}
