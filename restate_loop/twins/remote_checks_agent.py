"""No agent SDK, on our own loop (agent_loop.py): one tool that calls three checks in another service.

Restate retries each call as a separate invocation, so no failure has to be held back.

uv run restate_loop/twins/remote_checks_agent.py
"""

import restate
from pydantic import BaseModel

from deploy.check_services import HANDLERS
from restate_loop.agent_loop import Agent, Call, Tool
from shared import llm
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name, terminal_errors


class Metrics(BaseModel):
    claim: InsuranceClaim


async def calculate_metrics(call: Call[InsuranceClaim], arguments: Metrics) -> list[str]:
    claim = arguments.claim
    if mismatch := call.given.mismatch_with(claim):
        return [mismatch]
    ctx = call.ctx
    checks = await restate.gather(*(ctx.service_call(handler, claim) for handler in HANDLERS.values()))
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
)

claim_service = restate.Service(service_name("RemoteChecksClaimAgent"), invocation_context_managers=[terminal_errors])


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    return await agent.run(ctx, prompt, claim)


if __name__ == "__main__":
    serve(claim_service)
