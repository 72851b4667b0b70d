"""OpenAI Agents SDK without Restate: `tour bench` compares the durable agent with this one.

uv run openai_agents/twins/plain_agent.py
"""

import asyncio

from agents import Agent, RunContextWrapper, Runner, function_tool, set_default_openai_client
from openai import AsyncOpenAI

from bench.serving import CHECKS, STREAMS, serve_plain
from shared import llm
from shared.claims import InsuranceClaim


@function_tool
async def calculate_metrics(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := tool_context.context.mismatch_with(claim):
        return [mismatch]
    return list(await asyncio.gather(*(check(claim) for check in CHECKS.values())))


agent = Agent[InsuranceClaim](
    name="ParallelToolClaimAgent",
    model=llm.openai_model(),
    instructions=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
)
set_default_openai_client(AsyncOpenAI(timeout=llm.MODEL_TIMEOUT))


async def run(claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    if STREAMS:
        streamed = Runner.run_streamed(agent, prompt, context=claim, max_turns=llm.MAX_TURNS)
        async for _ in streamed.stream_events():
            pass
        return llm.answer(streamed.final_output)
    result = await Runner.run(agent, prompt, context=claim, max_turns=llm.MAX_TURNS)
    return llm.answer(result.final_output)


if __name__ == "__main__":
    serve_plain(InsuranceClaim, run)
