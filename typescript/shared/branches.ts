// Branches of a handler that run at the same time: durable/branches.py for Node. Each takes durable steps one after
// another, as an agent does. `RestatePromise.all` is for single steps.

import type { Context } from "@restatedev/restate-sdk";
import { ToolCalls, type Wait } from "./tool_calls.ts";

type Outcomes = Map<string, PromiseSettledResult<unknown>>;

const ended = new WeakMap<Context, Map<string, Outcomes>>();

/** The results of these branches, in the order of their names. Each awaits all of Restate with the `wait` that it gets.
 *
 * They follow the rules of the tool calls of a turn. Calls of one invocation with the same `key` share their results: a
 * branch that has ended is not run again, and its result stands, and so does its error. Without a key, all are run.
 * Throws: the error of the first branch that has one, when all have ended.
 */
export async function branches<Name extends string, T>(
  ctx: Context,
  wait: Wait,
  names: readonly Name[],
  run: (name: Name, wait: Wait) => Promise<T>,
  key?: string,
): Promise<T[]> {
  const known = key === undefined ? new Map() : outcomesOf(ctx, key);
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

function outcomesOf(ctx: Context, key: string): Outcomes {
  const keyed = ended.get(ctx) ?? new Map<string, Outcomes>();
  const outcomes = keyed.get(key) ?? new Map();
  ended.set(ctx, keyed.set(key, outcomes));
  return outcomes;
}
