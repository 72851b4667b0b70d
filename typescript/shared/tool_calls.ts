// Tool calls of one turn, in parallel and yet deterministic: the rules of durable/tool_calls.py.
//
// One call runs at a time, and the calls begin in the order in which the model asked for them. A call that waits for
// Restate passes its turn on. When all calls wait, Restate's journal decides which one continues first. So the steps
// overlap, while only one call asks the SDK for progress: the SDK refuses a second (`awaitNext already pending`).

import { setImmediate } from "node:timers/promises";
import { type Context, RestatePromise, TerminalError } from "@restatedev/restate-sdk";
import type { OnLanguageModelCallEndCallback } from "ai";
import { number } from "./environment.ts";

/** The number of concurrent tool calls in a turn, unless an agent says otherwise. */
const AT_ONCE = number("TOOL_CALLS_AT_ONCE", Number.POSITIVE_INFINITY);

/** Turns of the event loop in which the AI SDK starts the next call, if there is one. */
const TURNS = 10;

/** Waits for Restate, and passes the turn on meanwhile. */
export type Wait = <T>(promise: RestatePromise<T>) => Promise<T>;

/** Waits for Restate if nothing else in the invocation waits. */
export const alone: Wait = async (promise) => await promise;

/** A context that awaits its steps with `wait`, for an integration that awaits steps itself, such as `durableCalls`. */
export const inTurn = (ctx: Context, wait: Wait) =>
  ({
    run: (name: string, action: () => Promise<unknown>, runs: object) => wait(ctx.run(name, action, runs)),
  }) as unknown as Context;

type Parked = { promise: RestatePromise<unknown>; goOn: () => void; fail: (error: unknown) => void };

/** An agent's tool calls, turn by turn. An agent inside a tool call has its own `ToolCalls`, with that call's wait. */
export class ToolCalls {
  /** Waits for Restate on behalf of the whole turn, such as for the model calls of an agent inside a tool call. */
  readonly wait: Wait;
  /** The number of concurrent tool calls. */
  readonly limit: number;
  #expected: string[] = []; // not begun
  #come = new Map<string, () => void>(); // started by the SDK, not begun
  #changes = 0; // starts and ends of calls: after each, the SDK may start others
  #settled = -1; // the changes after which the SDK started no others
  #settling = false;
  #active = 0; // begun, not ended
  #running = false; // one active call; the others are parked, or ready
  #parked: Parked[] = [];
  #ready: (() => void)[] = []; // calls whose wait is over
  #polling = false; // Restate is being asked whose wait is over

  constructor(wait = alone, limit?: number | null) {
    this.wait = wait;
    this.limit = limit || AT_ONCE;
  }

  /** Expect these calls next, in this order. Expect none if two have the same id: they cannot be told apart. */
  expect(ids: string[]): void {
    this.#expected = new Set(ids).size === ids.length ? [...ids] : [];
    this.#come.clear();
    this.#changes++;
  }

  /** The same for the calls that the AI SDK is about to execute: its `onLanguageModelCallEnd`. */
  readonly expectThoseOf: OnLanguageModelCallEndCallback = ({ content }) => {
    const calls = content.filter((part) => part.type === "tool-call" && !part.invalid && !part.providerExecuted);
    this.expect(calls.map((part) => ("toolCallId" in part ? part.toolCallId : "")));
  };

  /** Run a tool call. Its `body` awaits Restate only with `wait`. Throws: TerminalError if the call is not expected. */
  async turn<T>(id: string, body: (wait: Wait) => Promise<T>): Promise<T> {
    if (!this.#expected.includes(id)) throw new TerminalError(`the tool call ${id} was not expected`);
    await new Promise<void>((begin) => {
      this.#come.set(id, begin);
      this.#changes++;
      this.#passOn();
    });
    try {
      return await body((promise) => this.#wait(promise));
    } finally {
      this.#changes++;
      this.#active--;
      this.#running = false;
      this.#passOn();
    }
  }

  #wait<T>(promise: RestatePromise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      this.#parked.push({ promise, goOn: () => promise.then(resolve, reject), fail: reject });
      this.#running = false;
      this.#passOn();
    });
  }

  #passOn(): void {
    if (this.#running || this.#polling) return;
    if (this.#expected.length > 0 && this.#active < this.limit) {
      const id = this.#expected.find((each) => this.#come.has(each));
      if (id !== this.#expected[0] && this.#settled !== this.#changes) {
        void this.#settle();
        return;
      }
      if (id !== undefined) {
        this.#begin(id);
        return;
      }
    }
    const next = this.#ready.shift();
    if (next) this.#goOn(next);
    else if (this.#parked.length > 0) void this.#poll();
  }

  #begin(id: string): void {
    const begin = this.#come.get(id) as () => void;
    this.#come.delete(id);
    this.#expected.splice(this.#expected.indexOf(id), 1);
    this.#active++;
    this.#goOn(begin);
  }

  /** Continue when the SDK has started its calls. It never runs some, such as a call that needs an approval. */
  async #settle(): Promise<void> {
    if (this.#settling) return;
    this.#settling = true;
    for (let seen = -1; seen !== this.#changes; this.#settled = seen) {
      seen = this.#changes;
      for (let turn = 0; turn < TURNS; turn++) await setImmediate();
    }
    this.#settling = false;
    this.#passOn();
  }

  #goOn(next: () => void): void {
    this.#running = true;
    next();
  }

  async #poll(): Promise<void> {
    this.#polling = true;
    try {
      const waits = this.#parked.map(({ promise }, at) => promise.map(() => at));
      const [first] = this.#parked.splice(await this.wait(RestatePromise.race(waits)), 1);
      if (first) this.#ready.push(first.goOn);
    } catch (cancelled) {
      this.#ready.push(
        ...this.#parked.splice(0).map(
          ({ fail }) =>
            () =>
              fail(cancelled),
        ),
      );
    }
    this.#polling = false;
    this.#passOn();
  }
}
