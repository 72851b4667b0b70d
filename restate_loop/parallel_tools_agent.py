"""No agent SDK: a loop of our own (agent_loop.py), and one tool that fans out to three durable steps.

uv run restate_loop/parallel_tools_agent.py
"""

import restate
from pydantic import BaseModel

from durable.fan_out import FanOut
from restate_loop.agent_loop import Agent, Call, Tool
from shared import llm
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim
from shared.serving import final_errors, serve, service_name


class Metrics(BaseModel):
    claim: InsuranceClaim


async def calculate_metrics(call: Call[InsuranceClaim], arguments: Metrics) -> list[str]:
    claim = arguments.claim
    if refusal := call.given.refusal_of(claim):
        return [refusal]
    ctx, fan_out = call.ctx, FanOut()
    return await fan_out.gather(
        ctx.run_typed("eligibility", fan_out.step(check_eligibility), claim=claim),
        ctx.run_typed("cost", fan_out.step(compare_to_standard_rates), claim=claim),
        ctx.run_typed("fraud", fan_out.step(check_fraud), claim=claim),
    )


agent = Agent(
    instructions=llm.INSTRUCTIONS,
    tools=[
        Tool(
            name="calculate_metrics",
            description="Check a claim: eligibility, cost against standard rates, fraud risk.",
            arguments=Metrics,
            run=calculate_metrics,
        )
    ],
)

claim_service = restate.Service(service_name("ParallelToolClaimAgent"), invocation_context_managers=[final_errors()])


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    return await agent.run(ctx, prompt, claim)


if __name__ == "__main__":
    serve(claim_service)
