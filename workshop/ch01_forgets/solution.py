"""Chapter 1: an agent that forgets. The OpenAI Agents SDK alone: no Restate, no journal.

uv run workshop/mine/ch01_forgets.py
"""

import asyncio

from agents import Agent, RunContextWrapper, Runner, function_tool

from shared import llm
from shared.claims import InsuranceClaim, sample_claims
from workshop.watched import check_eligibility, check_fraud, compare_to_standard_rates


@function_tool
async def calculate_metrics(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    return [await check_eligibility(claim), await compare_to_standard_rates(claim), await check_fraud(claim)]


agent = Agent[InsuranceClaim](
    name="ParallelToolClaimAgent",
    model=llm.openai_model(),
    instructions=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
)

# The program is killed with `kill -9` while `fraud` runs, and started again. Each of these is started this often:
STARTED = {
    "model 0": 2,  # the model asks for the tool
    "eligibility": 2,
    "cost": 2,
    "fraud": 2,
    "model 1": 1,  # the model decides
}


async def decide(claim: InsuranceClaim) -> str:
    result = await Runner.run(agent, f"Claim: {claim.model_dump_json()}", context=claim)
    return llm.answer(result.final_output)


if __name__ == "__main__":
    print(asyncio.run(decide(sample_claims()["broken-leg"])))
