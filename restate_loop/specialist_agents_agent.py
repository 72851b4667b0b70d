"""No agent SDK, on our own loop (agent_loop.py): one tool asks three specialist agents in parallel.

uv run restate_loop/specialist_agents_agent.py
"""

from functools import partial

import restate
from pydantic import BaseModel
from restate.extensions import current_context

from durable.branches import branches
from restate_loop.agent_loop import Agent, Call, Tool
from restate_loop.check_tools import CHECK_TOOLS
from shared import llm
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name
from shared.specialists import REPORTS, TEAM, Specialty, question, specialist_service, within_budget


class Metrics(BaseModel):
    claim: InsuranceClaim


specialists = {
    specialty: Agent(specialist.instructions, tools=[CHECK_TOOLS[specialist.check]], model=llm.openai_model(specialty))
    for specialty, specialist in TEAM.items()
}


async def ask(specialty: Specialty, claim: InsuranceClaim) -> str:
    ctx = current_context()  # of this branch
    assert ctx
    return await specialists[specialty].run(ctx, question(specialty, claim), claim)


async def calculate_metrics(call: Call[InsuranceClaim], arguments: Metrics) -> list[str]:
    claim = arguments.claim
    if mismatch := call.given.mismatch_with(claim):
        return [mismatch]
    work = {specialty: partial(ask, specialty, claim) for specialty in specialists}
    return await branches(call.ctx, work, key=REPORTS)


agent = Agent(
    instructions=llm.INSTRUCTIONS,
    tools=[
        Tool(
            "calculate_metrics",
            "Ask the specialists about a claim: necessity, cost, fraud risk.",
            Metrics,
            calculate_metrics,
        )
    ],
    tools_at_once=1,  # if the model asks twice in a turn, the reports are paid for once
)

claim_service = restate.Service(
    service_name("SpecialistAgentsClaimAgent"),
    invocation_context_managers=[*GUARDS, within_budget],
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    return await agent.run(ctx, prompt, claim)


if __name__ == "__main__":
    serve(claim_service, specialist_service(ask))
