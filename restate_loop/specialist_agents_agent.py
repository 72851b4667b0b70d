"""No agent SDK: a loop of our own (agent_loop.py), and three steps that are agents: specialists that work in parallel.

uv run restate_loop/specialist_agents_agent.py
"""

from functools import partial

import restate
from pydantic import BaseModel
from restate.extensions import current_context

from durable.branches import branches
from durable.held_steps import hold_failures
from restate_loop.agent_loop import Agent, Call, Tool
from shared import checks, llm
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name, terminal_errors
from shared.specialists import (
    COST,
    FRAUD,
    MEDICAL,
    REPORTS,
    Assignment,
    Report,
    Specialty,
    question,
    reported,
    within_budget,
)


class Metrics(BaseModel):
    claim: InsuranceClaim


async def check_eligibility(call: Call[InsuranceClaim], arguments: Metrics) -> str:
    if mismatch := call.given.mismatch_with(arguments.claim):
        return mismatch
    return await call.ctx.run_typed("eligibility", checks.check_eligibility, claim=arguments.claim)


async def compare_to_standard_rates(call: Call[InsuranceClaim], arguments: Metrics) -> str:
    if mismatch := call.given.mismatch_with(arguments.claim):
        return mismatch
    return await call.ctx.run_typed("cost", checks.compare_to_standard_rates, claim=arguments.claim)


async def check_fraud(call: Call[InsuranceClaim], arguments: Metrics) -> str:
    if mismatch := call.given.mismatch_with(arguments.claim):
        return mismatch
    return await call.ctx.run_typed("fraud", checks.check_fraud, claim=arguments.claim)


SPECIALISTS: dict[Specialty, Agent[InsuranceClaim]] = {
    "medical": Agent(
        instructions=MEDICAL,
        tools=[
            Tool(
                "check_eligibility", "Is the treatment covered, at this place, on this day?", Metrics, check_eligibility
            )
        ],
        model=llm.openai_model("medical"),
    ),
    "cost": Agent(
        instructions=COST,
        tools=[Tool("compare_to_standard_rates", "Is the amount reasonable?", Metrics, compare_to_standard_rates)],
        model=llm.openai_model("cost"),
    ),
    "fraud": Agent(
        instructions=FRAUD,
        tools=[Tool("check_fraud", "How high is the risk of fraud?", Metrics, check_fraud)],
        model=llm.openai_model("fraud"),
    ),
}


async def ask(specialty: Specialty, claim: InsuranceClaim) -> str:
    ctx = current_context()  # of this branch
    assert ctx
    return await SPECIALISTS[specialty].run(ctx, question(specialty, claim), claim)


async def calculate_metrics(call: Call[InsuranceClaim], arguments: Metrics) -> list[str]:
    claim = arguments.claim
    if mismatch := call.given.mismatch_with(claim):
        return [mismatch]
    work = {specialty: partial(ask, specialty, claim) for specialty in SPECIALISTS}
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
    tools_at_once=1,  # should the model ask twice in a turn, it pays for the reports once
)

claim_service = restate.Service(
    service_name("SpecialistAgentsClaimAgent"),
    invocation_context_managers=[hold_failures, within_budget, terminal_errors],
)
specialist_service = restate.Service(
    service_name("ClaimSpecialists"),
    invocation_context_managers=[hold_failures, terminal_errors],
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    return await agent.run(ctx, prompt, claim)


@specialist_service.handler()
async def report(ctx: restate.Context, assignment: Assignment) -> Report:
    return await reported(ctx, assignment, ask(assignment.specialty, assignment.claim))


if __name__ == "__main__":
    serve(claim_service, specialist_service)
