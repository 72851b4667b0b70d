"""Google ADK: one tool asks three specialist agents in parallel.

uv run google_adk/specialist_agents_agent.py
"""

from functools import partial

import restate
from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.runners import Runner
from google.adk.sessions import InMemorySessionService
from google.adk.tools.tool_context import ToolContext
from google.genai import types
from restate.ext.adk import RestatePlugin, restate_context

from durable.branches import branches
from google_adk.check_tools import CHECK_TOOLS
from google_adk.sdk import answer_of, claim_runner, decide, gemini, refuse_unknown_tool, submitted
from shared import llm
from shared.claims import InsuranceClaim, SessionClaim
from shared.serving import GUARDS, serve, service_name
from shared.specialists import REPORTS, TEAM, Specialist, Specialty, question, specialist_service, within_budget


def app(specialty: Specialty, specialist: Specialist) -> App:
    agent = LlmAgent(
        name=specialty,
        model=gemini(specialty),
        instruction=specialist.instructions,
        tools=[CHECK_TOOLS[specialist.check]],
        before_tool_callback=refuse_unknown_tool,
    )
    return App(name="specialists", root_agent=agent, plugins=[RestatePlugin(run_options=llm.RETRIES)])


specialists = {specialty: app(specialty, specialist) for specialty, specialist in TEAM.items()}


async def ask(specialty: Specialty, claim: InsuranceClaim) -> str:
    sessions = InMemorySessionService()  # lasts as long as the question
    session = await sessions.create_session(
        app_name="specialists", user_id="claim agent", state={"claim": claim.model_dump(mode="json")}
    )
    events = Runner(app=specialists[specialty], session_service=sessions).run_async(
        user_id=session.user_id,
        session_id=session.id,
        new_message=types.Content(role="user", parts=[types.Part(text=question(specialty, claim))]),
    )
    return await answer_of(events)


async def calculate_metrics(claim: InsuranceClaim, tool_context: ToolContext) -> list[str]:
    """Ask the specialists about a claim: medical necessity, cost, fraud risk."""
    if mismatch := submitted(tool_context).mismatch_with(claim):
        return [mismatch]
    work = {specialty: partial(ask, specialty, claim) for specialty in specialists}
    return await branches(restate_context(), work, key=REPORTS)


model = gemini()
agent = LlmAgent(
    name="SpecialistAgentsClaimAgent",
    model=model,
    instruction=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
    before_tool_callback=refuse_unknown_tool,
)
runner = claim_runner(agent, model, RestatePlugin(run_options=llm.RETRIES))

claim_service = restate.VirtualObject(
    service_name("SpecialistAgentsClaimAgent"),
    invocation_context_managers=[*GUARDS, within_budget],
    state_preload=False,
)


@claim_service.handler()
async def run(ctx: restate.ObjectContext, claim: SessionClaim) -> str:
    return await decide(runner, ctx, claim)


if __name__ == "__main__":
    serve(claim_service, specialist_service(ask))
