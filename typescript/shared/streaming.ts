// An agent reports its progress as it happens: durable/streaming.py for Node.
//
// `streamed` wraps a handler. It reports steps without further code: when one begins, and when its result is in the
// journal. shared/streamed_calls.ts reports the model: tokens as they arrive, and the turn when it is in the journal.
//
// Reports are not written to the agent's journal. They go to Restate's ingress (`RESTATE_INGRESS_URL`) in batches, and
// the handler returns its answer once they are accepted. A crash loses unsent reports; the replay makes them again.

import { randomUUID } from "node:crypto";
import { setTimeout } from "node:timers/promises";
import { type Context, type RestatePromise, RetryableError } from "@restatedev/restate-sdk";
import { secret, text } from "./environment.ts";
import { isModelCall } from "./model_calls.ts";

/** Milliseconds for which reports are collected into one batch. */
const AT_ONCE = 10;

/** Milliseconds between batches of reports, except the last: a batch costs about 8 ms of CPU in all. */
const APART = 200;

/** The header of a request whose caller listens from the beginning. The stream server adds it. */
const LIVE = ["x-agent-events", "live"] as const;

/** The same for other requests, at most: their reports are collected for `APART`, and each pause is twice the last. */
const UNHEARD = 1_000;

/** Milliseconds for which reports stop after Restate says that it knows no event log. */
const NOBODY = 5_000;

/** Milliseconds after which an ingress to which this process never connected counts as absent: the agent continues. */
const UNREACHED = 2_000;

/** The names and codes of a request's errors after it has connected. */
const CONNECTED = new Set(["TimeoutError", "UND_ERR_SOCKET", "ECONNRESET", "EPIPE"]);

/** Milliseconds in which Restate's ingress has to answer; otherwise the attempt fails, and Restate retries it. */
const PATIENCE = 10_000;

/** The number of running invocations whose reports are remembered: a replay in this process sends none twice. */
const MOST = 10_000;

/** A report for the event log, as `durable.event_log` describes it. */
type Report =
  | { kind: "tokens"; message: number; attempt: string; at: number; text: string }
  | { kind: "turn"; message: number; text: string; calls: Call[] }
  | { kind: "step"; step: number; name: string; ended: boolean }
  | { kind: "note"; key: string; name: string; value: unknown };

/** A tool call of a model's turn; its arguments are JSON. */
export type Call = { id: string; name: string; arguments: string };

/** Takes the next piece of a model's text. */
export type Said = (piece: string) => void;

type Stream = { reporter: Reporter; modelCalls: number };

const streams = new WeakMap<Context, Stream>();
const reporters = new Map<string, Reporter>();

/** The handler, with reports of its invocations. Throws: RetryableError if Restate does not accept the reports. */
export const streamed =
  <Ctx extends Context, Input, Output>(run: (ctx: Ctx, input: Input) => Promise<Output>) =>
  async (ctx: Ctx, input: Input): Promise<Output> => {
    const reporter = reporterOf(ctx.request().id, ctx.request().headers.get(LIVE[0]) === LIVE[1]);
    streams.set(ctx, { reporter, modelCalls: 0 });
    reportSteps(ctx, reporter);
    let answer: Output;
    try {
      answer = await run(ctx, input);
    } finally {
      await reporter.delivered();
    }
    reporters.delete(ctx.request().id);
    return answer;
  };

/** Report a custom event, once for each key. Its name and value (JSON) are those of AG-UI's `CUSTOM`. */
export function report(ctx: Context, key: string, name: string, value: unknown = null): void {
  streams.get(ctx)?.reporter.report(`note ${key}`, { kind: "note", key, name, value });
}

/** The invocation's next model call, undefined if its handler is not `streamed`. Replays keep the order of calls. */
export function modelCall(ctx: Context): ModelCall | undefined {
  const stream = streams.get(ctx);
  return stream && new ModelCall(stream.reporter, ++stream.modelCalls);
}

/** Half a surrogate pair: the other half comes in the next piece. */
const HALF = /[\ud800-\udbff]$/;

/** Reports of a model call. */
export class ModelCall {
  readonly #reporter: Reporter;
  readonly #number: number;

  constructor(reporter: Reporter, number: number) {
    this.#reporter = reporter;
    this.#number = number;
  }

  /** Call this in the step, in each attempt. Returns a function that reports a piece of the model's text. */
  attempt(): Said {
    const attempt = randomUUID();
    let [at, half] = [0, ""];
    return (piece) => {
      const come = half + piece;
      half = HALF.exec(come)?.[0] ?? "";
      const text = come.slice(0, come.length - half.length).toWellFormed();
      if (!text) return;
      this.#reporter.tokens(this.#number, attempt, at, text);
      at += [...text].length; // the log counts an emoji as one character
    };
  }

  /** Call this when the model's turn is in the journal. */
  inJournal(text: string, calls: Call[]): void {
    const turn = { kind: "turn", message: this.#number, text, calls } as const;
    this.#reporter.report(`turn ${this.#number}`, turn);
  }
}

/** Report each step of the context: when it is made, and when the handler gets its result, which is in the journal. */
function reportSteps(ctx: Context, reporter: Reporter): void {
  const run = ctx.run.bind(ctx) as (...step: unknown[]) => RestatePromise<unknown>;
  let steps = 0;
  const reported = (...step: unknown[]) => {
    const made = run(...step);
    const [name] = step;
    if (typeof name !== "string" || isModelCall(name)) return made;
    const number = ++steps;
    const now = (ended: boolean) =>
      reporter.report(`step ${number} ${ended}`, { kind: "step", step: number, name, ended });
    now(false);
    return made.map((result, failure) => {
      now(true);
      if (failure) throw failure;
      return result;
    });
  };
  ctx.run = reported as Context["run"];
}

/** Sends the reports of an invocation in order, whichever attempt they come from. */
class Reporter {
  readonly #path: string;
  #reports: Report[] = [];
  #reported = new Set<string>();
  #waitedFor = Promise.withResolvers<void>();
  #sending: Promise<void> | undefined;
  #lost: unknown;
  readonly #least: number;
  readonly #most: number;
  #next = 0;
  #apart = APART;

  constructor(invocation: string, live: boolean) {
    [this.#least, this.#most] = live ? [AT_ONCE, APART] : [APART, UNHEARD];
    this.#path = `/restate/send/AgentEvents/${invocation}/record`;
  }

  /** Report this once. */
  report(key: string, report: Report): void {
    if (this.#reported.has(key)) return;
    this.#reported.add(key);
    this.#add(report);
  }

  /** Report a piece of a message. */
  tokens(message: number, attempt: string, at: number, text: string): void {
    const last = this.#reports.at(-1);
    if (last?.kind === "tokens" && last.attempt === attempt) last.text += text;
    else this.#add({ kind: "tokens", message, attempt, at, text });
  }

  /** Wait until Restate has accepted all reports. Throws: RetryableError if it does not answer. */
  async delivered(): Promise<void> {
    this.#waitedFor.resolve();
    await this.#sending;
    this.#waitedFor = Promise.withResolvers();
    const lost = this.#lost;
    if (!lost) return;
    this.#lost = undefined;
    this.#reported.clear(); // the next attempt reports everything again
    throw lost;
  }

  #add(report: Report): void {
    this.#reports.push(report);
    this.#sending ??= this.#send();
  }

  async #send(): Promise<void> {
    try {
      while (this.#reports.length > 0) {
        const pause = Math.max(this.#least, this.#next - performance.now());
        await Promise.race([this.#waitedFor.promise, setTimeout(pause)]);
        this.#next = performance.now() + this.#apart;
        this.#apart = Math.min(2 * this.#apart, this.#most);
        await send(this.#path, this.#reports.splice(0));
      }
    } catch (error) {
      this.#lost = error;
    } finally {
      this.#sending = undefined;
    }
  }
}

function reporterOf(invocation: string, live: boolean): Reporter {
  const reporter = reporters.get(invocation) ?? new Reporter(invocation, live);
  reporters.delete(invocation);
  reporters.set(invocation, reporter); // moves it to the end
  const [oldest] = reporters.keys();
  if (oldest && reporters.size > MOST) reporters.delete(oldest);
  return reporter;
}

const ingress = (text("RESTATE_INGRESS_URL") ?? "http://127.0.0.1:8080").replace(/\/+$/, "");
const token = secret("RESTATE_AUTH_TOKEN");
const headers = { "content-type": "application/json", ...(token && { authorization: `Bearer ${token}` }) };

let nobodyUntil = 0;
let reached = false;

/** Hand reports to Restate; without an event log, drop them. Throws: RetryableError. */
async function send(path: string, reports: Report[]): Promise<void> {
  if (performance.now() < nobodyUntil) return;
  const body = JSON.stringify({ reports }, (_, value) => (typeof value === "string" ? value.toWellFormed() : value));
  const began = performance.now();
  for (let pause = 50; ; pause = Math.min(2 * pause, 1_000)) {
    const problem = await refusal(path, body).catch((error: Error & { cause?: { code?: string } }) => {
      reached ||= CONNECTED.has(error.name) || CONNECTED.has(error.cause?.code ?? "");
      return String(error);
    });
    if (!problem) return;
    const passed = performance.now() - began;
    if (!reached && passed > UNREACHED) {
      nobodyUntil = performance.now() + 60_000;
      console.error(`Restate's ingress does not answer on ${ingress}: nobody sees the events of claims.`);
      console.error("Set RESTATE_INGRESS_URL to its address.");
      return;
    }
    if (passed + pause > PATIENCE) throw new RetryableError(`The events of the agent were not recorded: ${problem}`);
    await setTimeout(pause);
  }
}

/** Why Restate does not take a request; undefined if it does, or if there is no such service. */
async function refusal(path: string, body: string): Promise<string | undefined> {
  const signal = AbortSignal.timeout(PATIENCE + 1_000); // longer than the client tries to connect
  const response = await fetch(`${ingress}${path}`, { method: "POST", headers, body, signal });
  const answer = await response.text();
  reached = true;
  if (response.status === 404) nobodyUntil = performance.now() + NOBODY;
  return response.ok || response.status === 404 ? undefined : `${response.status}: ${answer}`;
}
