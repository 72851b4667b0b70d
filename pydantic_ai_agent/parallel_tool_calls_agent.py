"""Pydantic AI: the model asks for three tools in one turn, and they run in parallel.

uv run pydantic_ai_agent/parallel_tool_calls_agent.py
"""

import restate
from pydantic_ai import Agent, RunContext, UsageLimits
from restate.ext.pydantic import RestateAgent, restate_context

from durable.adapters.pydantic_ai import ParallelToolCalls
from durable.held_steps import hold_failures
from pydantic_ai_agent.model import openai_model
from shared import checks, llm
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name, terminal_errors


async def check_eligibility(tool_context: RunContext[InsuranceClaim], claim: InsuranceClaim) -> str:
    """Is the treatment covered, at this place, on this day?"""
    if mismatch := tool_context.deps.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("eligibility", checks.check_eligibility, claim=claim)


async def compare_to_standard_rates(tool_context: RunContext[InsuranceClaim], claim: InsuranceClaim) -> str:
    """Is the amount reasonable?"""
    if mismatch := tool_context.deps.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("cost", checks.compare_to_standard_rates, claim=claim)


async def check_fraud(tool_context: RunContext[InsuranceClaim], claim: InsuranceClaim) -> str:
    """How high is the risk of fraud?"""
    if mismatch := tool_context.deps.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("fraud", checks.check_fraud, claim=claim)


claim_agent = Agent(
    openai_model(),
    name="ParallelToolCallsClaimAgent",
    instructions=llm.THREE_TOOLS_INSTRUCTIONS,
    deps_type=InsuranceClaim,
    tools=[check_eligibility, compare_to_standard_rates, check_fraud],
    capabilities=[ParallelToolCalls()],
)
agent = RestateAgent(claim_agent, run_options=llm.RETRIES)

claim_service = restate.Service(
    service_name("ParallelToolCallsClaimAgent"),
    invocation_context_managers=[hold_failures, terminal_errors],
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    result = await agent.run(prompt, deps=claim, usage_limits=UsageLimits(request_limit=llm.MAX_TURNS))
    return llm.answer(result.output)


if __name__ == "__main__":
    serve(claim_service)
