// Rules for a model's answer: durable/answers.py for OpenAI Chat and OpenAI Responses, and durable/exact/ for the AI SDK.
//
// An answer is the parsed JSON of a response with status 2xx. The rules leave alone what its wire does not define.

import { randomUUID } from "node:crypto";
import type { Serde } from "@restatedev/restate-sdk";

export type Fields = Record<string, unknown>;

/** The finish reasons with which OpenAI Chat marks an incomplete answer. */
const CUT_OFF: unknown[] = ["length", "content_filter"];

/** The output items of OpenAI Responses that ask for a tool. */
export const CALLS: unknown[] = ["function_call", "custom_tool_call"];

/** The codes of OpenAI's errors with status 429 for which no pause helps. */
const OUT_OF_MONEY: unknown[] = ["insufficient_quota", "billing_hard_limit_reached", "billing_not_active"];

/** A model's thoughts, which some servers leave before the text of the answer.
 *
 * Some models open their thoughts without a tag, and close them with a tag on a separate line. A later tag belongs to
 * the text: a decision may quote one from the claim.
 */
const THOUGHTS = /^\s*<think>.*?(?:<\/think>\s*|$)|^.*?\n<\/think>\s*\n\s*/s;

/** Give each tool call of a turn a unique id, by which the AI SDK and `ToolCalls` find a call and its result.
 *
 * A call keeps an id that is a string and unique so far. Arguments become a string: some compatible servers send an
 * object.
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

/** Join the parts of a content that a server of OpenAI Chat sends as a list; parts without text are dropped. */
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

/** Let the tool calls of a turn run however the turn ended, as all other agents do.
 *
 * The AI SDK runs no tool call of a turn that is cut off, or that ended with `eos`. If the arguments are cut off, they
 * are not JSON, and the model is told so.
 */
export function letCallsRun(answer: unknown): void {
  for (const { calls, end } of turns(answer)) if (calls.length > 0) end();
}

/** Why the last answer is not a decision: cut off, or a refusal. An answer with tool calls is not the last. */
export function noDecision(answer: unknown): string | undefined {
  if ([...turns(answer)].some(({ calls }) => calls.length > 0)) return undefined;
  const { cutOff, refusal } = endOf(fields(answer));
  if (cutOff) return `the model's answer is cut off: ${cutOff}`;
  return refusal && typeof refusal === "string" ? `the model refuses: ${refusal}` : undefined;
}

/** The text without the thoughts before it; empty if the thoughts never end. */
export const withoutThoughts = (text: string): string => text.replace(THOUGHTS, "");

/** Whether a provider's error (parsed JSON) says that the account has no money left: asking again cannot help. */
export function isOutOfMoney(status: number, error: unknown): boolean {
  const { code, type } = fields(fields(error).error);
  return status === 402 || (status === 429 && (OUT_OF_MONEY.includes(code) || OUT_OF_MONEY.includes(type)));
}

/** The message of a provider's error, or the whole error. */
export function messageOf(error: unknown): string {
  const { message } = fields(fields(error).error);
  return typeof message === "string" && message ? message : JSON.stringify(error);
}

/** A model server's response with status 2xx that is not an answer. The model is asked again. */
export class BadAnswer extends Error {}

/** The deepest nesting of a result; `JSON.stringify` fails at a few thousand levels. */
const DEEPEST = 1_000;

/** The result of a model call, for the journal. Throws: BadAnswer if it is nested too deeply to be written. */
export function writable<T>(result: T): T {
  if (isDeeper(result, DEEPEST)) throw new BadAnswer(`the model's answer is nested deeper than ${DEEPEST} levels`);
  return result;
}

const isDeeper = (value: unknown, levels: number): boolean =>
  typeof value === "object" &&
  value !== null &&
  (levels === 0 || Object.values(value).some((each) => isDeeper(each, levels - 1)));

/** A result of `doGenerate` as JSON, so that the AI SDK reads from the journal what it got from the model.
 *
 * JSON has neither dates nor bytes: the timestamp becomes a date again, and the AI SDK also reads bytes as Base64.
 */
// biome-ignore lint/suspicious/noExplicitAny: as Restate's own `serde.json`
export const exact: Serde<any> = {
  contentType: "application/json",
  serialize: (result) => new TextEncoder().encode(JSON.stringify(result, inBase64)),
  deserialize(data) {
    const result = JSON.parse(new TextDecoder().decode(data));
    const { response } = result;
    if (response && "timestamp" in response) response.timestamp = new Date(response.timestamp ?? Number.NaN);
    return result;
  },
};

const inBase64 = (_: string, value: unknown) =>
  value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value;

/** The reason why the answer is cut off, and the text of a refusal; undefined if absent. */
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

/** The tool calls of each turn in the answer, the key of their ids, and a function that marks them as its end. */
function* turns(answer: unknown): Generator<{ calls: Fields[]; key: string; end: () => void }> {
  const said = fields(answer);
  for (const choice of objects(said.choices)) {
    const calls = objects(fields(choice.message).tool_calls);
    yield { calls, key: "id", end: () => Object.assign(choice, { finish_reason: "tool_calls" }) };
  }
  const calls = objects(said.output).filter(({ type }) => CALLS.includes(type));
  yield { calls, key: "call_id", end: () => delete said.incomplete_details };
}

/** The object; an empty one in place of anything else. */
export const fields = (value: unknown): Fields =>
  typeof value === "object" && value !== null ? (value as Fields) : {};

/** The objects of a list; none of anything else. */
export const objects = (value: unknown): Fields[] =>
  Array.isArray(value) ? value.filter((each) => typeof each === "object" && each !== null && !Array.isArray(each)) : [];
