"""No agent SDK, on our own loop (agent_loop.py): a person decides on a high or risky claim, as one step.

uv run restate_loop/approval_agent.py
"""

import restate
from pydantic import BaseModel

from durable.streaming import streamed
from restate_loop.agent_loop import Agent, Call, Tool
from shared import llm
from shared.approval import approval, ask_a_person, why_a_person, withdrawn_with_the_claim
from shared.checks import CHECKS
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name


class Metrics(BaseModel):
    claim: InsuranceClaim


async def calculate_metrics(call: Call[InsuranceClaim], arguments: Metrics) -> list[str]:
    claim = arguments.claim
    if mismatch := call.given.mismatch_with(claim):
        return [mismatch]
    ctx = call.ctx
    checks = {name: ctx.run_typed(name, check.function, claim=claim) for name, check in CHECKS.items()}
    steps = [*checks.values()]
    async for step in restate.as_completed(*steps):
        if step is checks["fraud"] and (why := why_a_person(claim, await step)):
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
    invocation_context_managers=[streamed, withdrawn_with_the_claim, *GUARDS],
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    return await agent.run(ctx, prompt, claim)


if __name__ == "__main__":
    serve(claim_service, approval)
