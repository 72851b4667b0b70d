// A person's decision as a step: shared/approval.py for Node. A Workflow waits for the decision, for days if need be,
// and keeps no process busy.
//
// Each claim has one request, whose key is the id of the claim's invocation. The outcome is a durable promise: whoever
// resolves it first counts, be it the person, the deadline or the claimant.

import * as restate from "@restatedev/restate-sdk";
import { z } from "zod";
import { bounded, type InsuranceClaim, inputOf, stripped } from "./claims.ts";
import { number, servedBeside } from "./environment.ts";
import { observers } from "./observers.ts";
import { endOf, serviceName, terminalErrors } from "./serving.ts";
import { report } from "./streaming.ts";

/** US dollars above which a person decides. */
const LIMIT = 10_000;

/** A request without a decision is refused after this time: silence never pays a claim. */
const DEADLINE = { seconds: number("APPROVAL_DEADLINE", 3 * 24 * 60 * 60, false) };

/** How long a late decision is answered with the outcome. */
const RETENTION = { days: 30 };

/** The request, as the person sees it. */
type Shown = { claim: InsuranceClaim; why: string };

/** The person's decision. The reason is data for the model, as a claim is. */
const Decision = z.strictObject({
  approved: z.boolean(),
  reason: bounded(stripped(), 500).regex(/[\p{L}\p{N}\p{P}\p{S}]/u), // visible characters
});

/** Why a person has to decide on this claim; empty if no person has to. */
export function whyAPerson(claim: InsuranceClaim, risk: string): string {
  const amount = claim.amount > LIMIT ? [`more than ${LIMIT.toLocaleString("en-US")} USD`] : [];
  return [...amount, ...(risk.startsWith("low") ? [] : [risk])].join("; ");
}

/** Reserve the money, wait for an outcome, and release the money unless that is an approval. */
async function run(ctx: restate.WorkflowContext, shown: Shown): Promise<void> {
  let outcome = "refused: nobody decided in time";
  try {
    await ctx.run("reserve", () => reserveFunds(ctx.key, shown.claim.amount));
    ctx.set("waiting", shown);
    await restate.RestatePromise.race([outcomeOf(ctx).get(), ctx.sleep(DEADLINE)]);
  } catch (error) {
    if (!(error instanceof restate.TerminalError)) throw error;
    outcome = `refused: ${error.message}`; // the reservation failed with a terminal error, or the request is cancelled
  }
  if (!(await settle(ctx, outcome)).startsWith("approved")) await ctx.run("release", () => releaseFunds(ctx.key));
  ctx.clear("waiting");
}

/** Take a person's decision. Repeating it gets the same answer; a different one comes too late (409). */
async function decide(ctx: restate.WorkflowSharedContext, decision: z.infer<typeof Decision>): Promise<string> {
  if (!((await ctx.get("waiting")) ?? (await outcomeOf(ctx).peek()))) {
    throw new restate.TerminalError("no claim waits under this id", { errorCode: 404 });
  }
  const reason = decision.reason.replace(/\p{White_Space}+/gu, " ");
  const said = `${decision.approved ? "approved" : "refused"} by a person: ${reason}`;
  const outcome = await settle(ctx, said);
  if (outcome !== said) throw new restate.TerminalError(`too late: ${outcome}`, { errorCode: 409 });
  return outcome;
}

/** End the request of a claim that has ended with an error: nobody has to decide, and approved money is not paid. */
async function withdraw(ctx: restate.WorkflowSharedContext): Promise<void> {
  if ((await settle(ctx, "withdrawn")).startsWith("approved")) await ctx.run("release", () => releaseFunds(ctx.key));
}

const outcomeOf = (ctx: restate.WorkflowSharedContext) => ctx.promise<string>("outcome");

/** Resolve the outcome, unless it has one; returns the outcome that counts. */
async function settle(ctx: restate.WorkflowSharedContext, outcome: string): Promise<string> {
  await outcomeOf(ctx)
    .resolve(outcome)
    .catch(() => {}); // it is resolved already
  return await outcomeOf(ctx);
}

const { workflow, shared } = restate.handlers.workflow;
const hidden = { ingressPrivate: true };

export const approval = restate.workflow({
  name: serviceName("ClaimApproval"),
  handlers: {
    run: workflow(hidden, run),
    decide: shared({ input: inputOf(Decision, "decision"), hooks: [terminalErrors] }, decide),
    outcome: shared(hidden, async (ctx: restate.WorkflowSharedContext) => await outcomeOf(ctx)),
    withdraw: shared(hidden, withdraw),
  },
  options: { workflowRetention: RETENTION, hooks: observers },
});

const asking = new WeakSet<restate.Context>();

/** Ask a person about this claim; returns the outcome. Asking again joins the same request. */
export function askAPerson(ctx: restate.Context, claim: InsuranceClaim, why: string): restate.RestatePromise<string> {
  const key = ctx.request().id;
  asking.add(ctx);
  ctx.workflowSendClient(approval, key).run({ claim, why });
  report(ctx, "person", "waits for a person", { why });
  return ctx.workflowClient(approval, key).outcome();
}

type Handler = (ctx: restate.Context, claim: InsuranceClaim) => Promise<string>;

/** A claim's handler that withdraws the request when the claim is cancelled or ends with an error. */
export const withdrawnWithTheClaim =
  (run: Handler): Handler =>
  async (ctx, claim) => {
    try {
      return await run(ctx, claim);
    } catch (error) {
      if (endOf(error) instanceof restate.TerminalError && asking.has(ctx)) {
        ctx.workflowSendClient(approval, ctx.request().id).withdraw();
      }
      throw error;
    }
  };

const bank = process.env.FUNDS_URL || (await servedBeside("lab.bank"));

/** `reserved`: money set aside while the claim waits. The step may run again and counts once.
 *
 * Throws: TerminalError when this key has been released: a release is final.
 */
async function reserveFunds(key: string, amount: number): Promise<string> {
  const response = await request("PUT", key, JSON.stringify({ amount }));
  if (response.status === 409)
    throw new restate.TerminalError(`the funds of ${key} have been released`, { errorCode: 409 });
  return await said(response);
}

/** `released`, even if nothing was reserved: the bank then refuses a reservation that is still under way. */
const releaseFunds = async (key: string) => await said(await request("DELETE", key));

const request = (method: string, key: string, body: string | null = null) =>
  fetch(`${bank}/reservations/${key}`, { method, body, signal: AbortSignal.timeout(10_000) });

async function said(response: Response): Promise<string> {
  if (!response.ok) throw new Error(`the bank answers ${response.status}`);
  return String(await response.json());
}
