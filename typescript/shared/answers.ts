// Rules for a model's answer, before the AI SDK reads it: durable/answers.py for OpenAI Chat and OpenAI Responses.
//
// An answer is the parsed JSON of a response with status 2xx. Of one that is not as its wire defines it, nothing is said.

import { randomUUID } from "node:crypto";

type Fields = Record<string, unknown>;

/** The finish reasons of OpenAI Chat of an answer that is not whole. */
const CUT_OFF: unknown[] = ["length", "content_filter"];

/** The output items of OpenAI Responses that ask for a tool. */
const CALLS: unknown[] = ["function_call", "custom_tool_call"];

/** Codes of OpenAI's errors with status 429 that no pause helps with. */
const OUT_OF_MONEY: unknown[] = ["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"];

/** What a server that has no parser for the thoughts of its model leaves before the answer's text.
 *
 * Some models begin with thoughts that no tag opens, and close them on a line of its own. Further on in the text, a tag
 * is what the model says: a claim that has one must not take anything away from the decision that quotes it.
 */
const THOUGHTS = /^\s*<think>.*?(?:<\/think>\s*|$)|^.*?\n<\/think>\s*\n\s*/s;

/** Let each tool call of a turn have an id of its own: the AI SDK and `ToolCalls` find a call and its result by it.
 *
 * A call keeps its id if that is a text that no earlier call of the turn has. Else it gets a new one. Arguments become
 * text: some compatible servers send them as an object.
 */
export function mendCalls(answer: unknown): void {
  for (const { calls, key } of turns(answer)) {
    const taken = new Set<string>();
    for (const call of calls) {
      const id = call[key];
      if (typeof id === "string" && id && !taken.has(id)) taken.add(id);
      else call[key] = `call_${randomUUID().replaceAll("-", "")}`;
      const asked = "function" in call ? fields(call.function) : call;
      if (typeof asked.arguments === "object" && asked.arguments) asked.arguments = JSON.stringify(asked.arguments);
    }
  }
}

/** Let the content of OpenAI Chat be a text where a server sends a list of parts, of which those with text are kept. */
export function joinParts(answer: unknown): void {
  for (const choice of objects(fields(answer).choices)) {
    const message = fields(choice.message);
    if (Array.isArray(message.content)) {
      message.content = objects(message.content)
        .map(({ text }) => (typeof text === "string" ? text : ""))
        .join("");
    }
  }
}

/** Let the tool calls of a turn run however it ended: the AI SDK runs none of one that is cut off, or ended with `eos`.
 *
 * Every other agent of the tour runs them. Arguments that are cut off are no JSON, and the model is told.
 */
export function letCallsRun(answer: unknown): void {
  for (const { calls, end } of turns(answer)) if (calls.length > 0) end();
}

/** Why the model's last word is no decision: it is cut off, or a refusal. An answer with tool calls is not the last. */
export function noDecision(answer: unknown): string | undefined {
  if ([...turns(answer)].some(({ calls }) => calls.length > 0)) return undefined;
  const { cutOff, refusal } = endOf(fields(answer));
  if (cutOff) return `the model's answer is cut off: ${cutOff}`;
  return refusal && typeof refusal === "string" ? `the model refuses: ${refusal}` : undefined;
}

/** The text without the thoughts before it. Thoughts that never end leave nothing. */
export const withoutThoughts = (text: string): string => text.replace(THOUGHTS, "");

/** Whether a provider's error (parsed JSON) says that nothing is left to pay a call with: to ask again cannot help. */
export function isOutOfMoney(status: number, error: unknown): boolean {
  const { code, type } = fields(fields(error).error);
  return status === 402 || (status === 429 && (OUT_OF_MONEY.includes(code) || OUT_OF_MONEY.includes(type)));
}

/** The message of a provider's error, or all that it says. */
export function messageOf(error: unknown): string {
  const { message } = fields(fields(error).error);
  return typeof message === "string" && message ? message : JSON.stringify(error);
}

/** Why the answer is cut off, and the text of a refusal; each undefined where it is not. */
function endOf(answer: Fields): { cutOff?: unknown; refusal?: unknown } {
  const [choice] = objects(answer.choices);
  if (choice) {
    const { content, refusal } = fields(choice.message);
    const reason = choice.finish_reason;
    return { cutOff: CUT_OFF.includes(reason) && reason, refusal: !content && refusal };
  }
  const parts = objects(answer.output).flatMap(({ content }) => objects(content));
  const [refused] = parts.filter(({ type }) => type === "refusal");
  const isSaid = parts.some(({ type, text }) => type === "output_text" && text);
  const reason = fields(answer.incomplete_details).reason || "incomplete";
  return { cutOff: answer.status === "incomplete" && reason, refusal: !isSaid && refused?.refusal };
}

/** The tool calls of each turn in the answer, the key of their ids, and how to say that the turn ended with them. */
function* turns(answer: unknown): Generator<{ calls: Fields[]; key: string; end: () => void }> {
  const said = fields(answer);
  for (const choice of objects(said.choices)) {
    const calls = objects(fields(choice.message).tool_calls);
    yield { calls, key: "id", end: () => Object.assign(choice, { finish_reason: "tool_calls" }) };
  }
  const calls = objects(said.output).filter(({ type }) => CALLS.includes(type));
  yield { calls, key: "call_id", end: () => delete said.incomplete_details };
}

const fields = (value: unknown): Fields => (typeof value === "object" && value !== null ? (value as Fields) : {});

const objects = (value: unknown): Fields[] =>
  Array.isArray(value) ? value.filter((each) => typeof each === "object" && each !== null && !Array.isArray(each)) : [];
