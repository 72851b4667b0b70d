"""OpenAI Agents SDK: the caller sees the claim as it happens, through a crash.

uv run openai_agents/streaming_agent.py
"""

import restate
from agents import Agent, RunContextWrapper
from restate.ext.openai import durable_function_tool, restate_context

from durable.adapters.openai_agents import ParallelRunner
from durable.streaming import streamed
from openai_agents.sdk import ONE_BY_ONE, keep_terminal_errors, openai_model
from shared import llm
from shared.checks import CHECKS
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name


@durable_function_tool(failure_error_function=keep_terminal_errors)
async def calculate_metrics(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := tool_context.context.mismatch_with(claim):
        return [mismatch]
    ctx = restate_context()
    steps = (ctx.run_typed(name, check.function, claim=claim) for name, check in CHECKS.items())
    checks = await restate.gather(*steps)
    return [await check for check in checks]


agent = Agent[InsuranceClaim](
    name="StreamingClaimAgent",
    model=openai_model(),
    instructions=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
)

claim_service = restate.Service(
    service_name("StreamingClaimAgent"),
    invocation_context_managers=[streamed, *GUARDS],
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    result = ParallelRunner.run_streamed(
        agent,
        prompt,
        context=claim,
        max_turns=llm.MAX_TURNS,
        run_config=ONE_BY_ONE,
        run_options=llm.RETRIES,
    )
    async for _ in result.stream_events():  # `streamed` has reported them
        pass
    return llm.answer(result.final_output)


if __name__ == "__main__":
    serve(claim_service)
