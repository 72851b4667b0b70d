"""No agent SDK, on our own loop (agent_loop.py): the caller sees the claim as it happens, through a crash.

uv run restate_loop/streaming_agent.py
"""

import restate
from pydantic import BaseModel

from durable.streaming import streamed
from restate_loop.agent_loop import Agent, Call, Tool
from shared import llm
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
    steps = (ctx.run_typed(name, check.function, claim=claim) for name, check in CHECKS.items())
    checks = await restate.gather(*steps)
    return [await check for check in checks]


agent = Agent(
    instructions=llm.INSTRUCTIONS,
    tools=[
        Tool(
            name="calculate_metrics",
            description="Check a claim: eligibility, cost against standard rates, fraud risk.",
            arguments=Metrics,
            function=calculate_metrics,
        )
    ],
    streams=True,
)

claim_service = restate.Service(
    service_name("StreamingClaimAgent"),
    invocation_context_managers=[streamed, *GUARDS],
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    return await agent.run(ctx, prompt, claim)


if __name__ == "__main__":
    serve(claim_service)
