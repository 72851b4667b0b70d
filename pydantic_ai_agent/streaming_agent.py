"""Pydantic AI: the caller sees the claim as it happens, through a crash.

uv run pydantic_ai_agent/streaming_agent.py
"""

import restate
from pydantic_ai import Agent, RunContext, UsageLimits
from restate.ext.pydantic import RestateAgent, restate_context

from durable.adapters.pydantic_ai import Streamed, StreamedModel
from durable.streaming import streamed
from pydantic_ai_agent.sdk import openai_model
from shared import llm
from shared.checks import CHECKS
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name


async def calculate_metrics(tool_context: RunContext[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := tool_context.deps.mismatch_with(claim):
        return [mismatch]
    ctx = restate_context()
    steps = (ctx.run_typed(name, check.function, claim=claim) for name, check in CHECKS.items())
    checks = await restate.gather(*steps)
    return [await check for check in checks]


claim_agent = Agent(
    StreamedModel(openai_model()),
    name="StreamingClaimAgent",
    instructions=llm.INSTRUCTIONS,
    deps_type=InsuranceClaim,
    tools=[calculate_metrics],
    capabilities=[Streamed()],
)
agent = RestateAgent(claim_agent, run_options=llm.RETRIES)

claim_service = restate.Service(
    service_name("StreamingClaimAgent"),
    invocation_context_managers=[streamed, *GUARDS],
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    with agent.parallel_tool_call_execution_mode("sequential"):  # the same order on every replay
        result = await agent.run(prompt, deps=claim, usage_limits=UsageLimits(request_limit=llm.MAX_TURNS))
    return llm.answer(result.output)


if __name__ == "__main__":
    serve(claim_service)
