"""Pydantic AI: one tool asks three specialist agents in parallel.

uv run pydantic_ai_agent/specialist_agents_agent.py
"""

from functools import partial

import restate
from pydantic_ai import Agent, RunContext, Tool, UsageLimits
from restate.ext.pydantic import RestateAgent, restate_context

from durable.branches import branches
from pydantic_ai_agent.check_tools import CHECK_TOOLS
from pydantic_ai_agent.sdk import openai_model
from shared import llm
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name
from shared.specialists import REPORTS, TEAM, Specialty, question, specialist_service, within_budget


def durable_agent(
    name: str, role: str, instructions: str, tool: Tool[InsuranceClaim]
) -> RestateAgent[InsuranceClaim, str]:
    agent = Agent(
        openai_model(role),
        name=name,
        instructions=instructions,
        deps_type=InsuranceClaim,
        tools=[tool],
    )
    return RestateAgent(agent, run_options=llm.RETRIES)


specialists = {
    specialty: durable_agent(
        f"{specialty.title()}Specialist", specialty, specialist.instructions, CHECK_TOOLS[specialist.check]
    )
    for specialty, specialist in TEAM.items()
}


async def answer(agent: RestateAgent[InsuranceClaim, str], prompt: str, claim: InsuranceClaim) -> str:
    with agent.parallel_tool_call_execution_mode("sequential"):  # the same order on every replay
        result = await agent.run(prompt, deps=claim, usage_limits=UsageLimits(request_limit=llm.MAX_TURNS))
    return llm.answer(result.output)


async def ask(specialty: Specialty, claim: InsuranceClaim) -> str:
    return await answer(specialists[specialty], question(specialty, claim), claim)


async def calculate_metrics(tool_context: RunContext[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Ask the specialists about a claim: medical necessity, cost, fraud risk."""
    if mismatch := tool_context.deps.mismatch_with(claim):
        return [mismatch]
    work = {specialty: partial(ask, specialty, claim) for specialty in specialists}
    return await branches(restate_context(), work, key=REPORTS)


agent = durable_agent("SpecialistAgentsClaimAgent", "", llm.INSTRUCTIONS, Tool(calculate_metrics))

claim_service = restate.Service(
    service_name("SpecialistAgentsClaimAgent"),
    invocation_context_managers=[*GUARDS, within_budget],
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    return await answer(agent, f"Claim: {claim.model_dump_json()}", claim)


if __name__ == "__main__":
    serve(claim_service, specialist_service(ask))
