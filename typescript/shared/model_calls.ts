// Model calls over HTTP. Each costs money: it is retried while that can help, it ends with the attempt that made it,
// and a process that is told to end lets it finish.

import { AsyncLocalStorage } from "node:async_hooks";
import { setTimeout } from "node:timers/promises";
import { type HooksProvider, TerminalError } from "@restatedev/restate-sdk";
import { AISDKError, APICallError } from "ai";
import { AnswerStream, BadStream, ErrorEvent, Undecided } from "./answer_streams.ts";
import { BadAnswer, isOutOfMoney, joinParts, letCallsRun, mendCalls, messageOf, noDecision } from "./answers.ts";
import { number } from "./environment.ts";

/** Milliseconds after which a try without an answer has failed. */
const MODEL_TIMEOUT = number("MODEL_TIMEOUT", 120, false) * 1000;

/** The longest pause, in milliseconds, when an overloaded provider asks for a longer one. */
const LONGEST_WAIT = 60_000;

/** HTTP statuses below 500 that may pass: the provider does not refuse the call permanently. */
const MAY_PASS = [408, 409, 425, 429];

/** Milliseconds that model calls in flight get once the process is told to end. */
const DRAIN = number("DRAIN", 25, false) * 1000;

/** Milliseconds in which the SDK sends the result of a step to Restate. */
const SENDING = 250;

/** Attempts of a model call before it ends with a terminal error. */
const ATTEMPTS = 3;

/** The number of invocations whose attempts are counted. Beyond it the oldest, such as a killed one, is forgotten. */
const MOST = 10_000;

type Step = { attemptEnds: AbortSignal };

const steps = new AsyncLocalStorage<Step>();
const failedAttempts = new Map<string, { count: number; last?: AbortSignal }>();
const inFlight = new Set<Step>();
const noneLeft = Promise.withResolvers<void>();
let draining = false;

/** Whether a step is a model call, as Restate's middleware and agent_loop.ts name it. */
export const isModelCall = (step: string) => step.startsWith("call");

/** Tells a step's model call about its attempt, and ends the last attempt; for the `hooks` of a service. */
export const modelCalls: HooksProvider = ({ request }) => ({
  interceptor: {
    async run(name, next) {
      const step = { attemptEnds: request.attemptCompletedSignal };
      try {
        await steps.run(step, next);
        if (isModelCall(name)) failedAttempts.delete(request.id);
      } catch (caught) {
        const error = ownError(caught);
        if (!isModelCall(name) || error instanceof TerminalError || step.attemptEnds.aborted) throw error;
        throw lastAttempt(request.id, step.attemptEnds, error) ?? error;
      } finally {
        inFlight.delete(step);
        if (draining && inFlight.size === 0) noneLeft.resolve();
      }
    },
  },
});

/** The error with which `patientFetch` ended a stream, which the AI SDK wraps; any other error unchanged. */
function ownError(error: unknown): unknown {
  const cause = AISDKError.isInstance(error) ? error.cause : undefined;
  return cause instanceof TerminalError || cause instanceof BadAnswer ? cause : error;
}

/** The terminal error of a model call whose attempts have all failed; undefined while there are more.
 *
 * Restate also counts attempts in which the agent is away, so a claim that waits for its agent would have none left.
 * Here, an attempt counts if a model call of the invocation has failed and none has succeeded.
 */
function lastAttempt(invocation: string, attempt: AbortSignal, error: unknown): TerminalError | undefined {
  const { count, last } = failedAttempts.get(invocation) ?? { count: 0 };
  const failed = last === attempt ? count : count + 1; // concurrent calls fail in one attempt
  failedAttempts.delete(invocation);
  if (failed >= ATTEMPTS) return new TerminalError((modelError(error) as Error).message, { errorCode: 500 });
  failedAttempts.set(invocation, { count: failed, last: attempt });
  const [oldest] = failedAttempts.keys();
  if (oldest && failedAttempts.size > MOST) failedAttempts.delete(oldest);
  return undefined;
}

/** Wait until no model call is in flight and Restate has the results, for at most `DRAIN` seconds. */
export async function drained(): Promise<void> {
  draining = true;
  if (inFlight.size === 0) return;
  console.error(
    `This process ends when its model calls in flight have, in ${DRAIN / 1000} s at most. A second signal ends it now.`,
  );
  await Promise.race([noneLeft.promise.then(() => setTimeout(SENDING)), setTimeout(DRAIN)]);
}

/** `fetch` with the patience of OpenAI's own client: up to three tries, with pauses as long as the provider asks for. */
export async function patientFetch(url: string | URL | Request, init?: RequestInit): Promise<Response> {
  const attemptEnds = await begin();
  for (let tries = 1; ; tries++) {
    let pause = 250 * 2 ** tries;
    try {
      const signal = AbortSignal.any([attemptEnds, AbortSignal.timeout(MODEL_TIMEOUT)]);
      const response = await fetch(url, { ...init, signal });
      await mustBePaid(response);
      const mayPass = MAY_PASS.includes(response.status) || response.status >= 500;
      if (!mayPass || tries === 3) return await mended(response);
      await response.body?.cancel();
      pause = retryAfter(response) ?? pause;
    } catch (error) {
      if (tries === 3 || error instanceof TerminalError) throw error;
    }
    await setTimeout(Math.min(pause, LONGEST_WAIT), undefined, { signal: attemptEnds });
  }
}

/** The error of a failed model call on one line, with its cause; a refusal is a TerminalError with its status. */
export function modelError(error: unknown): unknown {
  if (!AISDKError.isInstance(error)) return error;
  const status = APICallError.isInstance(error) ? error.statusCode : undefined;
  const causes = [status, error.message, (error.cause as Error | undefined)?.message].filter(Boolean).join(": ");
  if (status && status >= 400 && status < 500 && !MAY_PASS.includes(status)) return refused(status, causes);
  return new Error(oneLine(`${error.name}: ${causes}`), { cause: error });
}

const refused = (status: number, problem: string) =>
  new TerminalError(oneLine(`the model's provider refuses the call: ${problem}`), { errorCode: status });

/** The text on one line, with an ellipsis for all beyond `most` characters. */
export function oneLine(text: string, most = 1_000): string {
  const line = text
    .slice(0, 10 * most)
    .replace(/\s+/g, " ")
    .trim();
  return line.length <= most ? line : `${line.slice(0, most - 1)}…`;
}

/** Begin a model call. The signal aborts when the attempt ends; without Restate, it never does.
 *
 * A process that is about to end begins no call: it waits here, and Restate makes the call elsewhere.
 */
async function begin(): Promise<AbortSignal> {
  const step = steps.getStore();
  if (!step) return new AbortController().signal;
  if (draining && !inFlight.has(step)) await new Promise(() => {});
  inFlight.add(step);
  return step.attemptEnds;
}

/** The milliseconds that the Retry-After header asks for, as a number or a date (RFC 9110, 10.2.3). */
function retryAfter(response: Response): number | undefined {
  const value = response.headers.get("retry-after");
  if (!value) return undefined;
  const pause = Number.isNaN(Number(value)) ? Date.parse(value) - Date.now() : Number(value) * 1000;
  return Number.isNaN(pause) ? undefined : Math.max(0, pause);
}

/** Throws: TerminalError if the account has no money left. */
async function mustBePaid(response: Response): Promise<void> {
  if (![402, 429].includes(response.status)) return;
  const error: unknown = await response
    .clone()
    .json()
    .catch(() => undefined); // another error, which the AI SDK reports
  if (error === undefined || !isOutOfMoney(response.status, error)) return;
  throw refused(response.status, `${response.status}: ${messageOf(error)}`);
}

/** The mended events of an answer. The reader gets all of them before the error that `mended` throws at once. */
async function* mendedEvents(body: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const stream = new AnswerStream();
  try {
    for await (const bytes of body) yield* stream.feed(bytes);
    yield* stream.feed();
  } catch (error) {
    throw streamError(error);
  }
}

function streamError(error: unknown): unknown {
  if (error instanceof Undecided) return new TerminalError(oneLine(error.message));
  if (error instanceof BadStream) {
    return new BadAnswer(oneLine(`the model's answer is not a valid stream of events: ${error.message}`, 300));
  }
  if (!(error instanceof ErrorEvent)) return error;
  const { status, body } = error;
  const problem = `${status}: ${messageOf(body)}`;
  const isForGood = status < 500 && !MAY_PASS.includes(status);
  if (isForGood || isOutOfMoney(status, body)) return refused(status, problem);
  return new BadAnswer(oneLine(`the model's answer breaks off with an error: ${problem}`, 300));
}

/** The response with an answer that the AI SDK can use. A stream of events is mended as it arrives.
 *
 * An answer that is cut inside an emoji has half a surrogate pair, which is not text and becomes U+FFFD. Throws:
 * BadAnswer if a gateway or a proxy sends status 2xx without a model's answer; TerminalError if the answer is cut off
 * or a refusal.
 */
async function mended(response: Response): Promise<Response> {
  if (!response.ok) return response;
  if (response.body && response.headers.get("content-type")?.startsWith("text/event-stream")) {
    return new Response(ReadableStream.from(mendedEvents(response.body)), { headers: response.headers });
  }
  let text = "";
  let answer: { choices?: unknown[]; output?: unknown } | null;
  try {
    text = await response.text();
    answer = JSON.parse(text, (_, value) => (typeof value === "string" ? value.toWellFormed() : value));
    mendCalls(answer);
    joinParts(answer);
    letCallsRun(answer);
    text = JSON.stringify(answer);
  } catch (error) {
    throw new BadAnswer(oneLine(`the model's answer is not JSON (${(error as Error).message}): ${text}`, 300));
  }
  if (!answer?.choices?.length && !answer?.output) {
    throw new BadAnswer(oneLine(`the model's answer is not valid: ${text}`, 300));
  }
  const problem = noDecision(answer);
  if (problem) throw new TerminalError(oneLine(problem));
  return new Response(text, { headers: response.headers });
}
