// Model calls in flight: each ends with the attempt that wants its answer, and SIGTERM lets them end, for they are paid.

import { AsyncLocalStorage } from "node:async_hooks";
import { setTimeout } from "node:timers/promises";
import type { HooksProvider } from "@restatedev/restate-sdk";
import { number } from "./variables.ts";

/** Milliseconds that the model calls in flight have to end in, once the process is told to end. */
const DRAIN = number("DRAIN", 25, false) * 1000;

/** Milliseconds in which the SDK sends the result of a step to Restate. */
const SENDING = 250;

type Step = { attemptEnds: AbortSignal };

const steps = new AsyncLocalStorage<Step>();
const inFlight = new Set<Step>();
const noneLeft = Promise.withResolvers<void>();
let draining = false;

/** Tells the model call of a step about its attempt; for the `hooks` of a service. */
export const modelCalls: HooksProvider = ({ request }) => ({
  interceptor: {
    async run(_name, next) {
      const step = { attemptEnds: request.attemptCompletedSignal };
      try {
        await steps.run(step, next);
      } finally {
        inFlight.delete(step);
        if (draining && inFlight.size === 0) noneLeft.resolve();
      }
    },
  },
});

/** Begin a model call. The signal is that of the attempt's end; without Restate there is none, and it never comes.
 *
 * A process that is about to end begins no call: it waits here, and Restate makes the call elsewhere.
 */
export async function begin(): Promise<AbortSignal> {
  const step = steps.getStore();
  if (!step) return new AbortController().signal;
  if (draining && !inFlight.has(step)) await new Promise(() => {});
  inFlight.add(step);
  return step.attemptEnds;
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
