// A step that fails is held back until the other steps in flight have finished: durable/held_steps.py as a hook.
//
// Restate retries a failed step with a new attempt of the whole invocation. The SDK begins that attempt at the moment of
// the failure: it abandons the steps that are still in flight, and each attempt runs them again. With `holdFailures`, a
// failure waits until those steps have finished and the journal has their results.
//
// Handlers and tools stay as they are: `ctx.run`, `RestatePromise.all`, `RestatePromise.race`.

import { setImmediate } from "node:timers/promises";
import { CancelledError, type HooksProvider, TerminalError } from "@restatedev/restate-sdk";

/** Turns of the event loop in which the SDK starts the next step, if there is one, or sends a result to Restate. */
const TURNS = 10;

/** Hold failures back in this invocation; for the `hooks` of a service, as the first. */
export const holdFailures: HooksProvider = () => {
  let started = 0;
  let inFlight = 0;
  let settled = Promise.withResolvers<void>();

  async function allStarted(): Promise<void> {
    for (let seen = -1; seen !== started; ) {
      seen = started;
      for (let turn = 0; turn < TURNS; turn++) await setImmediate();
    }
  }

  async function finished(): Promise<void> {
    await allStarted();
    while (inFlight > 0) {
      await settled.promise;
      await allStarted();
    }
  }

  function end(): void {
    inFlight--;
    settled.resolve();
    settled = Promise.withResolvers();
  }

  async function run(_name: string, next: () => Promise<void>): Promise<void> {
    started++;
    inFlight++;
    try {
      await next();
    } catch (error) {
      end();
      await (error instanceof TerminalError ? allStarted() : finished()); // no retry follows a terminal error
      throw error;
    }
    end();
  }

  /** Let the other steps finish before the invocation ends: `RestatePromise.all` rejects at the first terminal error.
   *
   * A cancelled invocation waits for no step.
   */
  async function handler(next: () => Promise<void>): Promise<void> {
    try {
      await next();
    } catch (error) {
      if (!(error instanceof CancelledError)) await finished();
      throw error;
    }
  }
  return { interceptor: { run, handler } };
};
