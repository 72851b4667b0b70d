"""Chapter 4: break a step. The three checks run at the same time; when one fails, the others run again.

uv run tour workshop check 4
"""

import restate
from agents import Agent, RunContextWrapper
from restate.ext.openai import DurableRunner, durable_function_tool, restate_context

from shared import llm
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name


@durable_function_tool
async def calculate_metrics(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    ctx = restate_context()
    checks = await restate.gather(
        ctx.run_typed("eligibility", check_eligibility, claim=claim),
        ctx.run_typed("cost", compare_to_standard_rates, claim=claim),
        ctx.run_typed("fraud", check_fraud, claim=claim),
    )
    return [await check for check in checks]


agent = Agent[InsuranceClaim](
    name="ParallelToolClaimAgent",
    model=llm.openai_model(),
    instructions=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
)

# EXERCISE: hold failures back in every invocation of this service.
claim_service = restate.Service(service_name("ParallelToolClaimAgent"))


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    result = await DurableRunner.run(agent, prompt, context=claim, run_options=llm.RETRIES)
    return llm.answer(result.final_output)


if __name__ == "__main__":
    serve(claim_service)
