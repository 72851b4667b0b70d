"""Google ADK: one tool that calls three checks in a service of their own, in a Virtual Object that keeps the session.

Each call is an invocation of its own, which Restate retries alone, so no failure has to be held back.

uv run deploy/remote_checks/google_adk_remote.py
"""

import restate
from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.runners import Runner
from google.adk.tools.tool_context import ToolContext
from google.genai import types
from restate.ext.adk import RestatePlugin, restate_context

from deploy.check_services import cost, eligibility, fraud
from google_adk.model import GeminiAskedAgain, answer_of
from google_adk.sessions import CompactedSessionService, compaction
from google_adk.tool_calls import refuse_unknown_tool
from shared import llm
from shared.claims import InsuranceClaim, SessionClaim
from shared.serving import serve, service_name, terminal_errors


async def calculate_metrics(claim: InsuranceClaim, tool_context: ToolContext) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := InsuranceClaim.model_validate(tool_context.state["claim"]).mismatch_with(claim):
        return [mismatch]
    ctx = restate_context()
    checks = await restate.gather(
        ctx.service_call(eligibility, claim),
        ctx.service_call(cost, claim),
        ctx.service_call(fraud, claim),
    )
    return [await check for check in checks]


model = GeminiAskedAgain(model=llm.gemini_model(), client_kwargs=llm.gemini_client())
agent = LlmAgent(
    name="RemoteChecksClaimAgent",
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
    service_name("RemoteChecksClaimAgent"), invocation_context_managers=[terminal_errors], state_preload=False
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
