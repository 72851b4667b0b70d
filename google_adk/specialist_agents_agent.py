"""Google ADK: three steps that are agents: specialists that work in parallel.

uv run google_adk/specialist_agents_agent.py
"""

from collections.abc import Awaitable, Callable
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
from durable.held_steps import hold_failures
from google_adk.model import GeminiAskedAgain, answer_of
from google_adk.sessions import CompactedSessionService, compaction
from google_adk.tool_calls import refuse_unknown_tool
from shared import checks, llm
from shared.claims import InsuranceClaim, SessionClaim
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


async def check_eligibility(claim: InsuranceClaim, tool_context: ToolContext) -> str:
    """Is the treatment covered, at this place, on this day?"""
    if mismatch := InsuranceClaim.model_validate(tool_context.state["claim"]).mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("eligibility", checks.check_eligibility, claim=claim)


async def compare_to_standard_rates(claim: InsuranceClaim, tool_context: ToolContext) -> str:
    """Is the amount reasonable?"""
    if mismatch := InsuranceClaim.model_validate(tool_context.state["claim"]).mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("cost", checks.compare_to_standard_rates, claim=claim)


async def check_fraud(claim: InsuranceClaim, tool_context: ToolContext) -> str:
    """How high is the risk of fraud?"""
    if mismatch := InsuranceClaim.model_validate(tool_context.state["claim"]).mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("fraud", checks.check_fraud, claim=claim)


def gemini(role: str = "") -> GeminiAskedAgain:
    return GeminiAskedAgain(model=llm.gemini_model(role), client_kwargs=llm.gemini_client())


def specialist(specialty: Specialty, instructions: str, tool: Callable[..., Awaitable[str]]) -> App:
    agent = LlmAgent(
        name=specialty,
        model=gemini(specialty),
        instruction=instructions,
        tools=[tool],
        before_tool_callback=refuse_unknown_tool,
    )
    return App(name="specialists", root_agent=agent, plugins=[RestatePlugin(run_options=llm.RETRIES)])


SPECIALISTS: dict[Specialty, App] = {
    "medical": specialist("medical", MEDICAL, check_eligibility),
    "cost": specialist("cost", COST, compare_to_standard_rates),
    "fraud": specialist("fraud", FRAUD, check_fraud),
}


async def ask(specialty: Specialty, claim: InsuranceClaim) -> str:
    sessions = InMemorySessionService()  # it lasts as long as the question
    session = await sessions.create_session(
        app_name="specialists", user_id="claim agent", state={"claim": claim.model_dump(mode="json")}
    )
    events = Runner(app=SPECIALISTS[specialty], session_service=sessions).run_async(
        user_id=session.user_id,
        session_id=session.id,
        new_message=types.Content(role="user", parts=[types.Part(text=question(specialty, claim))]),
    )
    return await answer_of(events)


async def calculate_metrics(claim: InsuranceClaim, tool_context: ToolContext) -> list[str]:
    """Ask the specialists about a claim: medical necessity, cost, fraud risk."""
    if mismatch := InsuranceClaim.model_validate(tool_context.state["claim"]).mismatch_with(claim):
        return [mismatch]
    work = {specialty: partial(ask, specialty, claim) for specialty in SPECIALISTS}
    return await branches(restate_context(), work, key=REPORTS)


model = gemini()
agent = LlmAgent(
    name="SpecialistAgentsClaimAgent",
    model=model,
    instruction=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
    before_tool_callback=refuse_unknown_tool,
)
app = App(
    name="claims",
    root_agent=agent,
    plugins=[RestatePlugin(run_options=llm.RETRIES)],
    events_compaction_config=compaction(model),
)
runner = Runner(app=app, session_service=CompactedSessionService())

claim_service = restate.VirtualObject(
    service_name("SpecialistAgentsClaimAgent"),
    invocation_context_managers=[hold_failures, within_budget, terminal_errors],
    state_preload=False,
)
specialist_service = restate.Service(
    service_name("ClaimSpecialists"),
    invocation_context_managers=[hold_failures, terminal_errors],
)


@claim_service.handler()
async def run(ctx: restate.ObjectContext, claim: SessionClaim) -> str:
    prompt = f"Claim: {claim.claim.model_dump_json()}"
    events = runner.run_async(
        user_id=ctx.key(),
        session_id=claim.session_id,
        state_delta={"claim": claim.claim.model_dump(mode="json")},
        new_message=types.Content(role="user", parts=[types.Part(text=prompt)]),
    )
    return await answer_of(events)


@specialist_service.handler()
async def report(ctx: restate.Context, assignment: Assignment) -> Report:
    return await reported(ctx, assignment, ask(assignment.specialty, assignment.claim))


if __name__ == "__main__":
    serve(claim_service, specialist_service)
