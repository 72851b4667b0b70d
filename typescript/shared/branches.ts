// Concurrent branches of a handler: durable/branches.py for Node. A branch takes durable steps one after another, as an
// agent does; for single steps, `RestatePromise.all` is enough.

import type { Context } from "@restatedev/restate-sdk";
import { ToolCalls, type Wait } from "./tool_calls.ts";

type Outcomes = Map<string, PromiseSettledResult<unknown>>;

const ended = new WeakMap<Context, Map<string, Outcomes>>();

/** The results of these branches, in the order of their names. A branch awaits Restate only with its own `wait`.
 *
 * Branches follow the rules of the tool calls of a turn. Within an invocation, the same `key` returns the same results:
 * a branch that has ended does not run again, and its result or error stands. Without a key, all branches run.
 * Throws: when all branches have ended, the error of the first one that failed.
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
