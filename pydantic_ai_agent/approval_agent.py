"""Pydantic AI: a person decides on a high or risky claim, as one step.

uv run pydantic_ai_agent/approval_agent.py
"""

import restate
from pydantic_ai import Agent, RunContext, UsageLimits
from restate.ext.pydantic import RestateAgent, restate_context

from durable.streaming import streamed
from pydantic_ai_agent.sdk import openai_model
from shared import llm
from shared.approval import approval, ask_a_person, why_a_person, withdrawn_with_the_claim
from shared.checks import CHECKS
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name


async def calculate_metrics(tool_context: RunContext[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := tool_context.deps.mismatch_with(claim):
        return [mismatch]
    ctx = restate_context()
    checks = {name: ctx.run_typed(name, check.function, claim=claim) for name, check in CHECKS.items()}
    steps = [*checks.values()]
    async for step in restate.as_completed(*steps):
        if step is checks["fraud"] and (why := why_a_person(claim, await step)):
            steps += [ask_a_person(ctx, claim, why)]  # the other checks go on meanwhile
    return [await step for step in steps]


claim_agent = Agent(
    openai_model(),
    name="ApprovalClaimAgent",
    instructions=llm.APPROVAL_INSTRUCTIONS,
    deps_type=InsuranceClaim,
    tools=[calculate_metrics],
)
agent = RestateAgent(claim_agent, run_options=llm.RETRIES)

claim_service = restate.Service(
    service_name("ApprovalClaimAgent"),
    invocation_context_managers=[streamed, withdrawn_with_the_claim, *GUARDS],
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    with agent.parallel_tool_call_execution_mode("sequential"):  # the same order on every replay
        result = await agent.run(prompt, deps=claim, usage_limits=UsageLimits(request_limit=llm.MAX_TURNS))
    return llm.answer(result.output)


if __name__ == "__main__":
    serve(claim_service, approval)
