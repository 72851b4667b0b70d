"""OpenAI Agents SDK: Restate calls three specialists on other SDKs in parallel, each in a separate service.

    TOUR_SERVICE_PREFIX=langchain_agent PORT=9084 uv run langchain_agent/specialist_agents_agent.py
    TOUR_SERVICE_PREFIX=pydantic_ai_agent PORT=9083 uv run pydantic_ai_agent/specialist_agents_agent.py
    TOUR_SERVICE_PREFIX=google_adk PORT=9082 uv run google_adk/specialist_agents_agent.py
    uv run deploy/specialist_services.py

`MEDICAL_SPECIALIST`, `COST_SPECIALIST` and `FRAUD_SPECIALIST` name other prefixes, including agents in TypeScript.
"""

import itertools
import os

import restate
from agents import Agent, RunContextWrapper
from restate.ext.openai import DurableRunner, durable_function_tool, restate_context

from openai_agents.sdk import ONE_BY_ONE, keep_terminal_errors, openai_model
from shared import llm
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name
from shared.specialists import TEAM, Specialty, reports_of, within_budget

SDKS = itertools.cycle(("langchain_agent", "pydantic_ai_agent", "google_adk"))
SERVICES: dict[Specialty, str] = {
    specialty: f"{os.environ.get(f'{specialty.upper()}_SPECIALIST') or sdk}.ClaimSpecialists"
    for specialty, sdk in zip(TEAM, SDKS, strict=False)
}


@durable_function_tool(failure_error_function=keep_terminal_errors)
async def calculate_metrics(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Ask the specialists about a claim: medical necessity, cost, fraud risk."""
    if mismatch := tool_context.context.mismatch_with(claim):
        return [mismatch]
    return await reports_of(restate_context(), SERVICES, claim)


agent = Agent[InsuranceClaim](
    name="SpecialistServicesClaimAgent",
    model=openai_model(),
    instructions=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
)

claim_service = restate.Service(
    service_name("SpecialistServicesClaimAgent"),
    invocation_context_managers=[*GUARDS, within_budget],
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    result = await DurableRunner.run(
        agent,
        f"Claim: {claim.model_dump_json()}",
        context=claim,
        max_turns=llm.MAX_TURNS,
        run_config=ONE_BY_ONE,
        run_options=llm.RETRIES,
    )
    return llm.answer(result.final_output)


if __name__ == "__main__":
    serve(claim_service)
