"""Pydantic AI without Restate: `tour bench` compares the durable agent with this one.

uv run pydantic_ai_agent/twins/plain_agent.py
"""

import asyncio
from collections.abc import AsyncIterable

from openai import AsyncOpenAI
from pydantic_ai import Agent, AgentStreamEvent, RunContext, UsageLimits
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from bench.serving import CHECKS, STREAMS, serve_plain
from shared import llm
from shared.claims import InsuranceClaim


async def calculate_metrics(tool_context: RunContext[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := tool_context.deps.mismatch_with(claim):
        return [mismatch]
    return list(await asyncio.gather(*(check(claim) for check in CHECKS.values())))


model_name = llm.openai_model()
provider = OpenAIProvider(openai_client=AsyncOpenAI(timeout=llm.MODEL_TIMEOUT))
agent = Agent(
    OpenAIResponsesModel(model_name, provider=provider),
    name="ParallelToolClaimAgent",
    instructions=llm.INSTRUCTIONS,
    deps_type=InsuranceClaim,
    tools=[calculate_metrics],
)


async def listen(_: RunContext[InsuranceClaim], events: AsyncIterable[AgentStreamEvent]) -> None:
    async for _event in events:
        pass


async def run(claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    limits = UsageLimits(request_limit=llm.MAX_TURNS)
    result = await agent.run(prompt, deps=claim, usage_limits=limits, event_stream_handler=listen if STREAMS else None)
    return llm.answer(result.output)


if __name__ == "__main__":
    serve_plain(InsuranceClaim, run)
