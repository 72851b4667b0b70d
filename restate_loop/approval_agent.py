"""No agent SDK: a loop of our own (agent_loop.py), and a step that is a person, who decides on a high or risky claim.

uv run restate_loop/approval_agent.py
"""

import restate
from pydantic import BaseModel

from durable.held_steps import hold_failures
from restate_loop.agent_loop import Agent, Call, Tool
from shared import llm
from shared.approval import approval, ask_a_person, why_a_person, withdrawn_with_the_claim
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name, terminal_errors


class Metrics(BaseModel):
    claim: InsuranceClaim


async def calculate_metrics(call: Call[InsuranceClaim], arguments: Metrics) -> list[str]:
    claim = arguments.claim
    if mismatch := call.given.mismatch_with(claim):
        return [mismatch]
    ctx = call.ctx
    steps = [
        ctx.run_typed("eligibility", check_eligibility, claim=claim),
        ctx.run_typed("cost", compare_to_standard_rates, claim=claim),
        fraud := ctx.run_typed("fraud", check_fraud, claim=claim),
    ]
    async for step in restate.as_completed(*steps):
        if step is fraud and (why := why_a_person(claim, await fraud)):
            steps += [ask_a_person(ctx, claim, why)]  # the other checks go on meanwhile
    return [await step for step in steps]


agent = Agent(
    instructions=llm.APPROVAL_INSTRUCTIONS,
    tools=[
        Tool(
            name="calculate_metrics",
            description="Check a claim: eligibility, cost against standard rates, fraud risk.",
            arguments=Metrics,
            function=calculate_metrics,
        )
    ],
)

claim_service = restate.Service(
    service_name("ApprovalClaimAgent"),
    invocation_context_managers=[withdrawn_with_the_claim, hold_failures, terminal_errors],
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    return await agent.run(ctx, prompt, claim)


if __name__ == "__main__":
    serve(claim_service, approval)
