"""No agent SDK: a loop of our own (agent_loop.py), and one tool that fans out to three durable steps.

uv run restate_loop/parallel_tools_agent.py
"""

from collections.abc import Sequence

import restate
from pydantic import BaseModel
from restate import RestateDurableFuture

from restate_loop.agent_loop import Tool, run_agent
from shared import llm
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim
from shared.serving import final_errors, serve, service_name


class Metrics(BaseModel):
    claim: InsuranceClaim


def calculate_metrics(ctx: restate.Context, arguments: Metrics) -> Sequence[RestateDurableFuture[str]]:
    claim = arguments.claim
    return [
        ctx.run_typed("eligibility", check_eligibility, claim=claim),
        ctx.run_typed("cost", compare_to_standard_rates, claim=claim),
        ctx.run_typed("fraud", check_fraud, claim=claim),
    ]


tool = Tool(
    name="calculate_metrics",
    description="Check a claim: eligibility, cost against standard rates, fraud risk.",
    arguments=Metrics,
    start=calculate_metrics,
)

claim_service = restate.Service(service_name("ParallelToolClaimAgent"), invocation_context_managers=[final_errors()])


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json(by_alias=True)}"
    return await run_agent(ctx, llm.INSTRUCTIONS, prompt, [tool])


if __name__ == "__main__":
    serve(claim_service)
