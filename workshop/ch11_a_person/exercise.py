"""Chapter 11: a person. A person decides on each claim while the checks run, but the request is only in memory.

uv run tour workshop check 11
"""

import asyncio

import restate
from agents import Agent, RunContextWrapper
from pydantic import BaseModel
from restate.ext.openai import DurableRunner, durable_function_tool, restate_context

from shared import llm
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim
from shared.funds import release_funds, reserve_funds
from shared.serving import serve, service_name
from workshop.ch11_a_person.inbox import ask


class Decision(BaseModel):
    approved: bool
    reason: str


approval = restate.Workflow(service_name("ClaimApproval"))
outcomes: dict[str, asyncio.Future[str]] = {}


async def ask_and_remember(claim: InsuranceClaim, key: str) -> None:
    outcomes[key] = asyncio.get_running_loop().create_future()
    await ask(claim, key)


@approval.main()
async def request(ctx: restate.WorkflowContext, claim: InsuranceClaim) -> str:
    await ctx.run_typed("reserve", reserve_funds, key=ctx.key(), amount=claim.amount)
    await ctx.run_typed("ask", ask_and_remember, claim=claim, key=ctx.key())
    # EXERCISE: this future dies with the process. Wait for something that Restate keeps.
    outcome = await outcomes[ctx.key()]
    if not outcome.startswith("approved"):
        await ctx.run_typed("release", release_funds, key=ctx.key())
    return outcome


@approval.handler()
async def decide(ctx: restate.WorkflowSharedContext, decision: Decision) -> str:
    outcome = f"{'approved' if decision.approved else 'refused'} by a person: {decision.reason}"
    # EXERCISE: pass the outcome on in the same way.
    outcomes[ctx.key()].set_result(outcome)
    return outcome


@durable_function_tool
async def calculate_metrics(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    ctx = restate_context()
    checks = await restate.gather(
        ctx.run_typed("eligibility", check_eligibility, claim=claim),
        ctx.run_typed("cost", compare_to_standard_rates, claim=claim),
        ctx.run_typed("fraud", check_fraud, claim=claim),
        ctx.workflow_call(request, ctx.request().id, claim),  # a person is a step as well
    )
    return [await check for check in checks]


agent = Agent[InsuranceClaim](
    name="ApprovalClaimAgent",
    model=llm.openai_model(),
    instructions=llm.APPROVAL_INSTRUCTIONS,
    tools=[calculate_metrics],
)

claim_service = restate.Service(service_name("ApprovalClaimAgent"))


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    result = await DurableRunner.run(agent, prompt, context=claim, run_options=llm.RETRIES)
    return llm.answer(result.final_output)


if __name__ == "__main__":
    serve(claim_service, approval)
