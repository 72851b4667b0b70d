"""LangChain: three steps that are agents: specialists that work in parallel.

uv run langchain_agent/specialist_agents_agent.py
"""

from functools import partial
from typing import Any

import restate
from langchain.agents import create_agent
from langchain.tools import BaseTool, ToolRuntime, tool
from restate.ext.langchain import restate_context

from durable.adapters.langchain import ParallelRestateMiddleware
from durable.branches import branches
from durable.held_steps import hold_failures
from langchain_agent.model import openai_model
from langchain_agent.tool_calls import AskAgain
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


@tool
async def check_eligibility(claim: InsuranceClaim, runtime: ToolRuntime[InsuranceClaim]) -> str:
    """Is the treatment covered, at this place, on this day?"""
    if mismatch := runtime.context.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("eligibility", checks.check_eligibility, claim=claim)


@tool
async def compare_to_standard_rates(claim: InsuranceClaim, runtime: ToolRuntime[InsuranceClaim]) -> str:
    """Is the amount reasonable?"""
    if mismatch := runtime.context.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("cost", checks.compare_to_standard_rates, claim=claim)


@tool
async def check_fraud(claim: InsuranceClaim, runtime: ToolRuntime[InsuranceClaim]) -> str:
    """How high is the risk of fraud?"""
    if mismatch := runtime.context.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("fraud", checks.check_fraud, claim=claim)


def durable_agent(name: str, role: str, instructions: str, tool: BaseTool) -> Any:
    return create_agent(
        name=name,
        model=openai_model(role),
        system_prompt=instructions,
        tools=[tool],
        context_schema=InsuranceClaim,
        # Restate's own RestateMiddleware knows one agent in an invocation.
        middleware=[AskAgain(), ParallelRestateMiddleware(run_options=llm.RETRIES)],
    )


SPECIALISTS: dict[Specialty, Any] = {
    "medical": durable_agent("MedicalSpecialist", "medical", MEDICAL, check_eligibility),
    "cost": durable_agent("CostSpecialist", "cost", COST, compare_to_standard_rates),
    "fraud": durable_agent("FraudSpecialist", "fraud", FRAUD, check_fraud),
}


async def answer(agent: Any, prompt: str, claim: InsuranceClaim) -> str:
    state = await agent.ainvoke(
        {"messages": [{"role": "user", "content": prompt}]},
        # One tool call at a time: else the terminal error of one can be lost among the others' ends.
        {"recursion_limit": 2 * llm.MAX_TURNS, "max_concurrency": 1},
        context=claim,
    )
    message = state["messages"][-1]
    return llm.answer(message.text)


async def ask(specialty: Specialty, claim: InsuranceClaim) -> str:
    return await answer(SPECIALISTS[specialty], question(specialty, claim), claim)


@tool
async def calculate_metrics(claim: InsuranceClaim, runtime: ToolRuntime[InsuranceClaim]) -> list[str]:
    """Ask the specialists about a claim: medical necessity, cost, fraud risk."""
    if mismatch := runtime.context.mismatch_with(claim):
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
