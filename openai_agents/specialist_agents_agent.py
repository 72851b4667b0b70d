"""OpenAI Agents SDK: three steps that are agents: specialists that work in parallel.

uv run openai_agents/specialist_agents_agent.py
"""

from functools import partial

import restate
from agents import Agent, RunContextWrapper
from restate.ext.openai import DurableRunner, durable_function_tool, restate_context

from durable.branches import branches
from durable.held_steps import hold_failures
from openai_agents.model import openai_model
from openai_agents.tool_calls import ONE_BY_ONE, keep_terminal_errors
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

durable_tool = durable_function_tool(failure_error_function=keep_terminal_errors)


@durable_tool
async def check_eligibility(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> str:
    """Is the treatment covered, at this place, on this day?"""
    if mismatch := tool_context.context.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("eligibility", checks.check_eligibility, claim=claim)


@durable_tool
async def compare_to_standard_rates(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> str:
    """Is the amount reasonable?"""
    if mismatch := tool_context.context.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("cost", checks.compare_to_standard_rates, claim=claim)


@durable_tool
async def check_fraud(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> str:
    """How high is the risk of fraud?"""
    if mismatch := tool_context.context.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("fraud", checks.check_fraud, claim=claim)


SPECIALISTS: dict[Specialty, Agent[InsuranceClaim]] = {
    "medical": Agent(
        name="MedicalSpecialist", model=openai_model("medical"), instructions=MEDICAL, tools=[check_eligibility]
    ),
    "cost": Agent(
        name="CostSpecialist", model=openai_model("cost"), instructions=COST, tools=[compare_to_standard_rates]
    ),
    "fraud": Agent(name="FraudSpecialist", model=openai_model("fraud"), instructions=FRAUD, tools=[check_fraud]),
}


async def answer(agent: Agent[InsuranceClaim], prompt: str, claim: InsuranceClaim) -> str:
    result = await DurableRunner.run(
        agent,
        prompt,
        context=claim,
        max_turns=llm.MAX_TURNS,
        run_config=ONE_BY_ONE,
        run_options=llm.RETRIES,
    )
    return llm.answer(result.final_output)


async def ask(specialty: Specialty, claim: InsuranceClaim) -> str:
    return await answer(SPECIALISTS[specialty], question(specialty, claim), claim)


@durable_tool
async def calculate_metrics(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Ask the specialists about a claim: medical necessity, cost, fraud risk."""
    if mismatch := tool_context.context.mismatch_with(claim):
        return [mismatch]
    work = {specialty: partial(ask, specialty, claim) for specialty in SPECIALISTS}
    return await branches(restate_context(), work, key=REPORTS)


agent = Agent[InsuranceClaim](
    name="SpecialistAgentsClaimAgent",
    model=openai_model(),
    instructions=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
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
    return await answer(agent, f"Claim: {claim.model_dump_json()}", claim)


@specialist_service.handler()
async def report(ctx: restate.Context, assignment: Assignment) -> Report:
    return await reported(ctx, assignment, ask(assignment.specialty, assignment.claim))


if __name__ == "__main__":
    serve(claim_service, specialist_service)
