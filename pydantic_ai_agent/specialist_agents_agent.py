"""Pydantic AI: three steps that are agents: specialists that work in parallel.

uv run pydantic_ai_agent/specialist_agents_agent.py
"""

from functools import partial

import restate
from pydantic_ai import Agent, RunContext, UsageLimits
from pydantic_ai.tools import ToolFuncContext
from restate.ext.pydantic import RestateAgent, restate_context

from durable.branches import branches
from durable.held_steps import hold_failures
from pydantic_ai_agent.model import openai_model
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


async def check_eligibility(tool_context: RunContext[InsuranceClaim], claim: InsuranceClaim) -> str:
    """Is the treatment covered, at this place, on this day?"""
    if mismatch := tool_context.deps.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("eligibility", checks.check_eligibility, claim=claim)


async def compare_to_standard_rates(tool_context: RunContext[InsuranceClaim], claim: InsuranceClaim) -> str:
    """Is the amount reasonable?"""
    if mismatch := tool_context.deps.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("cost", checks.compare_to_standard_rates, claim=claim)


async def check_fraud(tool_context: RunContext[InsuranceClaim], claim: InsuranceClaim) -> str:
    """How high is the risk of fraud?"""
    if mismatch := tool_context.deps.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("fraud", checks.check_fraud, claim=claim)


def durable_agent(
    name: str, role: str, instructions: str, tool: ToolFuncContext[InsuranceClaim, ...]
) -> RestateAgent[InsuranceClaim, str]:
    agent = Agent(
        openai_model(role),
        name=name,
        instructions=instructions,
        deps_type=InsuranceClaim,
        tools=[tool],
    )
    return RestateAgent(agent, run_options=llm.RETRIES)


SPECIALISTS: dict[Specialty, RestateAgent[InsuranceClaim, str]] = {
    "medical": durable_agent("MedicalSpecialist", "medical", MEDICAL, check_eligibility),
    "cost": durable_agent("CostSpecialist", "cost", COST, compare_to_standard_rates),
    "fraud": durable_agent("FraudSpecialist", "fraud", FRAUD, check_fraud),
}


async def answer(agent: RestateAgent[InsuranceClaim, str], prompt: str, claim: InsuranceClaim) -> str:
    with agent.parallel_tool_call_execution_mode("sequential"):  # the same order on every replay
        result = await agent.run(prompt, deps=claim, usage_limits=UsageLimits(request_limit=llm.MAX_TURNS))
    return llm.answer(result.output)


async def ask(specialty: Specialty, claim: InsuranceClaim) -> str:
    return await answer(SPECIALISTS[specialty], question(specialty, claim), claim)


async def calculate_metrics(tool_context: RunContext[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Ask the specialists about a claim: medical necessity, cost, fraud risk."""
    if mismatch := tool_context.deps.mismatch_with(claim):
        return [mismatch]
    work = {specialty: partial(ask, specialty, claim) for specialty in SPECIALISTS}
    return await branches(restate_context(), work, key=REPORTS)


agent = durable_agent("SpecialistAgentsClaimAgent", "", llm.INSTRUCTIONS, calculate_metrics)

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
    return await answer(agent, f"Claim: {claim.model_dump_json()}", claim)


@specialist_service.handler()
async def report(ctx: restate.Context, assignment: Assignment) -> Report:
    return await reported(ctx, assignment, ask(assignment.specialty, assignment.claim))


if __name__ == "__main__":
    serve(claim_service, specialist_service)
