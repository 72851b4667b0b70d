"""OpenAI Agents SDK: one tool asks three specialist agents in parallel.

uv run openai_agents/specialist_agents_agent.py
"""

from functools import partial

import restate
from agents import Agent, RunContextWrapper
from restate.ext.openai import DurableRunner, durable_function_tool, restate_context

from durable.branches import branches
from openai_agents.check_tools import CHECK_TOOLS
from openai_agents.sdk import ONE_BY_ONE, keep_terminal_errors, openai_model
from shared import llm
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name
from shared.specialists import REPORTS, TEAM, Specialty, question, specialist_service, within_budget

specialists: dict[Specialty, Agent[InsuranceClaim]] = {
    specialty: Agent(
        name=f"{specialty.title()}Specialist",
        model=openai_model(specialty),
        instructions=specialist.instructions,
        tools=[CHECK_TOOLS[specialist.check]],
    )
    for specialty, specialist in TEAM.items()
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
    return await answer(specialists[specialty], question(specialty, claim), claim)


@durable_function_tool(failure_error_function=keep_terminal_errors)
async def calculate_metrics(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Ask the specialists about a claim: medical necessity, cost, fraud risk."""
    if mismatch := tool_context.context.mismatch_with(claim):
        return [mismatch]
    work = {specialty: partial(ask, specialty, claim) for specialty in specialists}
    return await branches(restate_context(), work, key=REPORTS)


agent = Agent[InsuranceClaim](
    name="SpecialistAgentsClaimAgent",
    model=openai_model(),
    instructions=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
)

claim_service = restate.Service(
    service_name("SpecialistAgentsClaimAgent"),
    invocation_context_managers=[*GUARDS, within_budget],
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    return await answer(agent, f"Claim: {claim.model_dump_json()}", claim)


if __name__ == "__main__":
    serve(claim_service, specialist_service(ask))
