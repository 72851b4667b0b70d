"""Pydantic AI without Restate: the agent with which `tour bench` compares the durable one.

uv run pydantic_ai_agent/twins/plain_agent.py
"""

import asyncio

from openai import AsyncOpenAI
from pydantic_ai import Agent, RunContext, UsageLimits
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

from bench.serving import CHECKS, serve_plain
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


async def run(claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    result = await agent.run(prompt, deps=claim, usage_limits=UsageLimits(request_limit=llm.MAX_TURNS))
    return llm.answer(result.output)


if __name__ == "__main__":
    serve_plain(InsuranceClaim, run)
