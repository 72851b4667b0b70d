"""LangChain: one tool asks three specialist agents in parallel.

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
from langchain_agent.check_tools import CHECK_TOOLS
from langchain_agent.sdk import AskAgain, openai_model
from shared import llm
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name
from shared.specialists import REPORTS, TEAM, Specialty, question, specialist_service, within_budget


def durable_agent(name: str, role: str, instructions: str, tool: BaseTool) -> Any:
    return create_agent(
        name=name,
        model=openai_model(role),
        system_prompt=instructions,
        tools=[tool],
        context_schema=InsuranceClaim,
        # RestateMiddleware supports one agent in an invocation.
        middleware=[AskAgain(), ParallelRestateMiddleware(run_options=llm.RETRIES)],
    )


specialists = {
    specialty: durable_agent(
        f"{specialty.title()}Specialist", specialty, specialist.instructions, CHECK_TOOLS[specialist.check]
    )
    for specialty, specialist in TEAM.items()
}


async def answer(agent: Any, prompt: str, claim: InsuranceClaim) -> str:
    state = await agent.ainvoke(
        {"messages": [{"role": "user", "content": prompt}]},
        # One tool call at a time: otherwise the end of another call can hide a call's terminal error.
        {"recursion_limit": 2 * llm.MAX_TURNS, "max_concurrency": 1},
        context=claim,
    )
    message = state["messages"][-1]
    return llm.answer(message.text)


async def ask(specialty: Specialty, claim: InsuranceClaim) -> str:
    return await answer(specialists[specialty], question(specialty, claim), claim)


@tool
async def calculate_metrics(claim: InsuranceClaim, runtime: ToolRuntime[InsuranceClaim]) -> list[str]:
    """Ask the specialists about a claim: medical necessity, cost, fraud risk."""
    if mismatch := runtime.context.mismatch_with(claim):
        return [mismatch]
    work = {specialty: partial(ask, specialty, claim) for specialty in specialists}
    return await branches(restate_context(), work, key=REPORTS)


agent = durable_agent("SpecialistAgentsClaimAgent", "", llm.INSTRUCTIONS, calculate_metrics)

claim_service = restate.Service(
    service_name("SpecialistAgentsClaimAgent"),
    invocation_context_managers=[*GUARDS, within_budget],
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    return await answer(agent, f"Claim: {claim.model_dump_json()}", claim)


if __name__ == "__main__":
    serve(claim_service, specialist_service(ask))
