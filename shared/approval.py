"""A person's decision as a step: a Workflow waits for it, for days if need be, and keeps no process busy.

Each claim has one request, whose key is the id of the claim's invocation. The outcome is a durable promise: whoever
resolves it first counts, be it the person, the deadline or the claimant.

    restate sql "SELECT service_key, value_utf8 FROM state WHERE key = 'waiting'"
    curl localhost:8080/restate/call/ClaimApproval/inv_…/decide --json '{"approved": true, "reason": "invoice seen"}'
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from datetime import timedelta
from typing import Annotated, TypeAlias

import restate
from pydantic import BaseModel, ConfigDict, Field
from restate.extensions import current_context

from durable.streaming import report
from shared.claims import InsuranceClaim
from shared.funds import release_funds, reserve_funds
from shared.serving import service_name, terminal_errors
from shared.variables import number

LIMIT = 10_000.0
"""US dollars above which a person decides."""

DEADLINE = timedelta(seconds=number("APPROVAL_DEADLINE", 3 * 24 * 60 * 60.0))
"""A request without a decision is refused after this time: silence never pays a claim."""

RETENTION = timedelta(days=30)
"""How long a late decision is answered with the outcome."""


AnyContext: TypeAlias = restate.WorkflowContext | restate.WorkflowSharedContext


class Request(BaseModel):
    """The request, as the person sees it."""

    claim: InsuranceClaim
    why: str


class Decision(BaseModel):
    """The person's decision. The reason is data for the model, as a claim is."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    approved: Annotated[bool, Field(strict=True)]
    reason: Annotated[str, Field(min_length=1, max_length=500, pattern=r"[\p{L}\p{N}\p{P}\p{S}]")]  # visible characters


def why_a_person(claim: InsuranceClaim, risk: str) -> str:
    """Why a person has to decide on this claim; empty if no person has to."""
    amount = [f"more than {LIMIT:,.0f} USD"] if claim.amount > LIMIT else []
    return "; ".join(amount + ([] if risk.startswith("low") else [risk]))


approval = restate.Workflow(service_name("ClaimApproval"))


@approval.main(ingress_private=True, workflow_retention=RETENTION)
async def run(ctx: restate.WorkflowContext, request: Request) -> None:
    """Reserve the money, wait for an outcome, and release the money unless that is an approval."""
    try:
        await ctx.run_typed("reserve", reserve_funds, key=ctx.key(), amount=request.claim.amount)
        ctx.set("waiting", request)
        await restate.select(outcome=_outcome(ctx).value(), deadline=ctx.sleep(DEADLINE))
        outcome = "refused: nobody decided in time"
    except restate.TerminalError as error:  # the reservation failed with a terminal error, or the request is cancelled
        outcome = f"refused: {error.message}"
    if not (await _settle(ctx, outcome)).startswith("approved"):
        await ctx.run_typed("release", release_funds, key=ctx.key())
    ctx.clear("waiting")


@approval.handler(invocation_context_managers=[terminal_errors])
async def decide(ctx: restate.WorkflowSharedContext, decision: Decision) -> str:
    """Take a person's decision. Repeating it gets the same answer; a different one comes too late (409)."""
    if not (await ctx.get("waiting", type_hint=Request) or await _outcome(ctx).peek()):
        raise restate.TerminalError("no claim waits under this id", status_code=404)
    said = f"{'approved' if decision.approved else 'refused'} by a person: {' '.join(decision.reason.split())}"
    outcome = await _settle(ctx, said)
    if outcome != said:
        raise restate.TerminalError(f"too late: {outcome}", status_code=409)
    return outcome


@approval.handler(ingress_private=True)
async def outcome(ctx: restate.WorkflowSharedContext) -> str:
    """Wait for the outcome."""
    return await _outcome(ctx)


@approval.handler(ingress_private=True)
async def withdraw(ctx: restate.WorkflowSharedContext) -> None:
    """End the request of a claim that has ended with an error: nobody has to decide, and approved money is not paid."""
    if (await _settle(ctx, "withdrawn")).startswith("approved"):
        await ctx.run_typed("release", release_funds, key=ctx.key())


def _outcome(ctx: AnyContext) -> restate.DurablePromise[str]:
    return ctx.promise("outcome", type_hint=str)


async def _settle(ctx: AnyContext, outcome: str) -> str:
    """Resolve the outcome, unless it has one; returns the outcome that counts."""
    with suppress(restate.TerminalError):  # it is resolved already
        await _outcome(ctx).resolve(outcome)
    return await _outcome(ctx)


_asked: ContextVar[list[str]] = ContextVar("asked")


def ask_a_person(ctx: restate.Context, claim: InsuranceClaim, why: str) -> restate.RestateDurableFuture[str]:
    """Ask a person about this claim; returns the outcome. Asking again joins the same request."""
    key = ctx.request().id
    _asked.get().append(key)
    ctx.workflow_send(run, key, Request(claim=claim, why=why))
    report("person", "waits for a person", {"why": why})
    return ctx.workflow_call(outcome, key, None)


@asynccontextmanager
async def withdrawn_with_the_claim() -> AsyncIterator[None]:
    """Withdraw the request of a claim that is cancelled or ends with an error; for `invocation_context_managers`.

    It belongs before `terminal_errors`, because it acts on the errors that `terminal_errors` raises.
    """
    context = current_context()
    assert context
    asked: list[str] = []
    _asked.set(asked)
    try:
        yield
    except restate.TerminalError:
        for key in asked[:1]:
            context.workflow_send(withdraw, key, None)
        raise
