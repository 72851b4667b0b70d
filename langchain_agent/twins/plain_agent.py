"""LangChain without Restate: `tour bench` compares the durable agent with this one.

uv run langchain_agent/twins/plain_agent.py
"""

import asyncio

from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from langchain_openai import ChatOpenAI

from bench.serving import CHECKS, STREAMS, serve_plain
from shared import llm
from shared.claims import InsuranceClaim


@tool
async def calculate_metrics(claim: InsuranceClaim, runtime: ToolRuntime[InsuranceClaim]) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := runtime.context.mismatch_with(claim):
        return [mismatch]
    return list(await asyncio.gather(*(check(claim) for check in CHECKS.values())))


agent = create_agent(
    name="ParallelToolClaimAgent",
    model=ChatOpenAI(model=llm.openai_model(), timeout=llm.MODEL_TIMEOUT, streaming=STREAMS),
    system_prompt=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
    context_schema=InsuranceClaim,
)


async def run(claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    state = await agent.ainvoke(
        {"messages": [{"role": "user", "content": prompt}]},
        {"recursion_limit": 2 * llm.MAX_TURNS},
        context=claim,
    )
    return llm.answer(state["messages"][-1].text)


if __name__ == "__main__":
    serve_plain(InsuranceClaim, run)
