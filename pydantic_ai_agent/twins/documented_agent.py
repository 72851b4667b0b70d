"""Pydantic AI."""

import restate
from pydantic_ai import Agent, RunContext
from restate.ext.pydantic import RestateAgent, restate_context

from shared import llm
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name

claim_agent = Agent(f"openai-responses:{llm.openai_model()}", name="ClaimAgent", instructions=llm.INSTRUCTIONS)


@claim_agent.tool
async def calculate_metrics(_: RunContext[object], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    ctx = restate_context()
    checks = await restate.gather(
        ctx.run_typed("eligibility", check_eligibility, claim=claim),
        ctx.run_typed("cost", compare_to_standard_rates, claim=claim),
        ctx.run_typed("fraud", check_fraud, claim=claim),
    )
    return [await check for check in checks]


agent = RestateAgent(claim_agent)
claim_service = restate.Service(service_name("ParallelToolClaimAgent"))


@claim_service.handler()
async def run(_ctx: restate.Context, claim: InsuranceClaim) -> str:
    result = await agent.run(f"Claim: {claim.model_dump_json()}")
    return result.output


if __name__ == "__main__":
    serve(claim_service)
