"""Chapter 2: durable model calls. Each one is in the journal, and is made and paid for once.

uv run tour workshop check 2
"""

import restate
from agents import Agent, RunContextWrapper, function_tool
from restate.ext.openai import DurableRunner

from shared import llm
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name
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

claim_service = restate.Service(service_name("ParallelToolClaimAgent"))


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    result = await DurableRunner.run(agent, prompt, context=claim, run_options=llm.RETRIES)
    return llm.answer(result.final_output)


if __name__ == "__main__":
    serve(claim_service)
