"""Google ADK: the model asks for three tools in one turn, and they run in parallel.

uv run google_adk/parallel_tool_calls_agent.py
"""

import restate
from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.runners import Runner
from google.adk.tools.tool_context import ToolContext
from google.genai import types
from restate.ext.adk import restate_context

from durable.adapters.google_adk import ParallelRestatePlugin
from durable.held_steps import hold_failures
from google_adk.model import GeminiAskedAgain, answer_of
from google_adk.sessions import CompactedSessionService, compaction
from google_adk.tool_calls import refuse_unknown_tool
from shared import checks, llm
from shared.claims import InsuranceClaim, SessionClaim
from shared.serving import serve, service_name, terminal_errors


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


model = GeminiAskedAgain(model=llm.gemini_model(), client_kwargs=llm.gemini_client())
agent = LlmAgent(
    name="ParallelToolCallsClaimAgent",
    model=model,
    instruction=llm.THREE_TOOLS_INSTRUCTIONS,
    tools=[check_eligibility, compare_to_standard_rates, check_fraud],
    before_tool_callback=refuse_unknown_tool,
)
app = App(
    name="claims",
    root_agent=agent,
    plugins=[ParallelRestatePlugin(run_options=llm.RETRIES)],
    events_compaction_config=compaction(model),
)
runner = Runner(app=app, session_service=CompactedSessionService())

claim_service = restate.VirtualObject(
    service_name("ParallelToolCallsClaimAgent"),
    invocation_context_managers=[hold_failures, terminal_errors],
    state_preload=False,
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


if __name__ == "__main__":
    serve(claim_service)
