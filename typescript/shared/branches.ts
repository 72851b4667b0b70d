// Branches of a handler that run at the same time: durable/branches.py for Node. Each takes durable steps one after
// another, as an agent does. `RestatePromise.all` is for single steps.

import type { Context } from "@restatedev/restate-sdk";
import { ToolCalls, type Wait } from "./tool_calls.ts";

const ended = new WeakMap<Context, Map<string, PromiseSettledResult<unknown>>>();

/** The results of these branches, in the order of their names. Each awaits all of Restate with the `wait` that it gets.
 *
 * They follow the rules of the tool calls of a turn. A branch that has ended is not run again in the same invocation:
 * its result stands, and so does its error, for whoever asks later. Throws: the error of the first branch that has one,
 * when all have ended.
 */
export async function branches<Name extends string, T>(
  ctx: Context,
  wait: Wait,
  names: readonly Name[],
  run: (name: Name, wait: Wait) => Promise<T>,
): Promise<T[]> {
  const known = ended.get(ctx) ?? new Map<string, PromiseSettledResult<T>>();
  ended.set(ctx, known);
  const missing = names.filter((name) => !known.has(name));
  const calls = new ToolCalls(wait, missing.length);
  calls.expect(missing);
  const outcomes = await Promise.allSettled(missing.map((name) => calls.turn(name, (wait) => run(name, wait))));
  for (const [at, outcome] of outcomes.entries()) known.set(missing[at] as Name, outcome);
  return names.map((name) => {
    const outcome = known.get(name) as PromiseSettledResult<T>;
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  });
}
