// A budget for the model calls of an invocation: durable/budget.py for Node.
//
// A call counts when its step is created, and its tokens count when its answer is taken. Both happen in the same order on
// each replay, so a retried call counts once, and a crash changes nothing. Once the budget is spent, no call is made.
// Calls in flight are not interrupted, so their tokens may exceed the budget.

import { type Context, TerminalError } from "@restatedev/restate-sdk";
import type { LanguageModelMiddleware } from "ai";
import { z } from "zod";

/** The HTTP status of an invocation whose budget is spent. */
const OVER_BUDGET = 402;

export const Budget = z.object({
  calls: z.int(),
  tokens: z.int(),
  calls_made: z.int().default(0),
  tokens_used: z.int().default(0),
});
/** Model calls, and the tokens that they read and write: the allowed and the used number of each. */
export type Budget = z.infer<typeof Budget>;

/** The tokens of an answer, with the names of its wire. */
type Usage = Record<string, unknown>;

const budgets = new WeakMap<Context, Budget>();

/** Let the model calls of this invocation spend this budget from now on. */
export const limit = (ctx: Context, budget: Budget): void => void budgets.set(ctx, budget);

/** Make a model call, and count it if there is a budget. Throws: TerminalError (402) when the budget is spent. */
export async function counted<T>(
  ctx: Context,
  call: () => PromiseLike<T>,
  usageOf: (answer: T) => Usage | undefined,
): Promise<T> {
  const budget = budgets.get(ctx);
  if (!budget) return await call();
  if (budget.calls_made >= budget.calls || budget.tokens_used >= budget.tokens) {
    throw new TerminalError(`the budget is spent: ${told(budget)}`, { errorCode: OVER_BUDGET });
  }
  budget.calls_made++;
  const answer = await call();
  budget.tokens_used += tokens(usageOf(answer));
  return answer;
}

/** The same for the AI SDK. It belongs outside `durableCalls`, so that a replayed call counts, too. */
export const countedCalls = (ctx: Context): LanguageModelMiddleware => ({
  specificationVersion: "v4",
  wrapGenerate: ({ doGenerate }) => counted(ctx, doGenerate, ({ usage }) => usage.raw),
});

const told = ({ calls, calls_made, tokens, tokens_used }: Budget) =>
  `${calls_made} of ${calls} model calls, ${grouped(tokens_used)} of ${grouped(tokens)} tokens`;

const grouped = (count: number) => count.toLocaleString("en-US");

const READ_AND_WRITTEN = ["input_tokens", "prompt_tokens", "output_tokens", "completion_tokens"];

/** The tokens of a model's answer, under any of the names on OpenAI's wires; 0 if absent. */
function tokens(usage: Usage | undefined): number {
  const counts = READ_AND_WRITTEN.map((name) => usage?.[name]);
  return counts.reduce<number>((sum, count) => sum + (Number.isSafeInteger(count) ? Math.max(Number(count), 0) : 0), 0);
}
