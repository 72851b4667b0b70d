"""Chapter 12: a team of agents. Three specialists work at the same time, each an agent with a model and a tool.

uv run tour workshop check 12
"""

from functools import partial

import restate
from agents import Agent, RunContextWrapper
from restate.ext.openai import DurableRunner, durable_function_tool, restate_context

from durable.branches import branches
from shared import checks, llm
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name
from shared.specialists import TEAM, Specialty, question


@durable_function_tool
async def check_eligibility(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> str:
    """Is the treatment covered, at this place, on this day?"""
    return await restate_context().run_typed("eligibility", checks.check_eligibility, claim=claim)


@durable_function_tool
async def compare_to_standard_rates(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> str:
    """Is the amount reasonable?"""
    return await restate_context().run_typed("cost", checks.compare_to_standard_rates, claim=claim)


@durable_function_tool
async def check_fraud(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> str:
    """How high is the risk of fraud?"""
    return await restate_context().run_typed("fraud", checks.check_fraud, claim=claim)


model = llm.openai_model()
tools = {"medical": check_eligibility, "cost": compare_to_standard_rates, "fraud": check_fraud}
specialists: dict[Specialty, Agent[InsuranceClaim]] = {
    name: Agent(name=name, model=model, instructions=specialist.instructions, tools=[tools[name]])
    for name, specialist in TEAM.items()
}


async def answer(agent: Agent[InsuranceClaim], prompt: str, claim: InsuranceClaim) -> str:
    result = await DurableRunner.run(agent, prompt, context=claim, run_options=llm.RETRIES)
    return llm.answer(result.final_output)


async def ask(specialty: Specialty, claim: InsuranceClaim) -> str:
    return await answer(specialists[specialty], question(specialty, claim), claim)


@durable_function_tool
async def calculate_metrics(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Ask the specialists about a claim: medical necessity, cost, fraud risk."""
    work = {specialty: partial(ask, specialty, claim) for specialty in specialists}
    return await branches(restate_context(), work)


agent = Agent[InsuranceClaim](
    name="SpecialistAgentsClaimAgent",
    model=model,
    instructions=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
)

claim_service = restate.Service(service_name("SpecialistAgentsClaimAgent"))


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    return await answer(agent, f"Claim: {claim.model_dump_json()}", claim)


if __name__ == "__main__":
    serve(claim_service)
