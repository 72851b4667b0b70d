"""Google ADK: a step that is a person, who decides on a high or risky claim; in a Virtual Object with the session.

uv run google_adk/approval_agent.py
"""

import restate
from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.runners import Runner
from google.adk.tools.tool_context import ToolContext
from google.genai import types
from restate.ext.adk import RestatePlugin, restate_context

from durable.held_steps import hold_failures
from google_adk.model import GeminiAskedAgain, answer_of
from google_adk.sessions import CompactedSessionService, compaction
from google_adk.tool_calls import refuse_unknown_tool
from shared import llm
from shared.approval import approval, ask_a_person, why_a_person, withdrawn_with_the_claim
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim, SessionClaim
from shared.serving import serve, service_name, terminal_errors


async def calculate_metrics(claim: InsuranceClaim, tool_context: ToolContext) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := InsuranceClaim.model_validate(tool_context.state["claim"]).mismatch_with(claim):
        return [mismatch]
    ctx = restate_context()
    steps = [
        ctx.run_typed("eligibility", check_eligibility, claim=claim),
        ctx.run_typed("cost", compare_to_standard_rates, claim=claim),
        fraud := ctx.run_typed("fraud", check_fraud, claim=claim),
    ]
    async for step in restate.as_completed(*steps):
        if step is fraud and (why := why_a_person(claim, await fraud)):
            steps += [ask_a_person(ctx, claim, why)]  # the other checks go on meanwhile
    return [await step for step in steps]


model = GeminiAskedAgain(model=llm.gemini_model(), client_kwargs=llm.gemini_client())
agent = LlmAgent(
    name="ApprovalClaimAgent",
    model=model,
    instruction=llm.APPROVAL_INSTRUCTIONS,
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
    service_name("ApprovalClaimAgent"),
    invocation_context_managers=[withdrawn_with_the_claim, hold_failures, terminal_errors],
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
    serve(claim_service, approval)
