// Steps that fail are held back until the steps in flight beside them have finished: durable/held_steps.py as a hook.
//
// Restate retries a step that fails, and the retry is a new attempt of the whole invocation. The SDK begins it at the
// moment of the failure: steps that are still in flight are abandoned, and run again in each attempt. With
// `holdFailures` a failure waits until they have finished, and their results are in the journal.
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

  /** `RestatePromise.all` rejects at the first terminal error: the others finish before the claim ends with it.
   *
   * A claim that is cancelled waits for none.
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
