"""Google ADK: one tool that calls three checks in another service, in a Virtual Object that keeps the session.

Restate retries each call as a separate invocation, so no failure has to be held back.

uv run google_adk/twins/remote_checks_agent.py
"""

import restate
from google.adk.agents import LlmAgent
from google.adk.tools.tool_context import ToolContext
from restate.ext.adk import RestatePlugin, restate_context

from deploy.check_services import HANDLERS
from google_adk.sdk import claim_runner, decide, gemini, refuse_unknown_tool, submitted
from shared import llm
from shared.claims import InsuranceClaim, SessionClaim
from shared.serving import serve, service_name, terminal_errors


async def calculate_metrics(claim: InsuranceClaim, tool_context: ToolContext) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := submitted(tool_context).mismatch_with(claim):
        return [mismatch]
    ctx = restate_context()
    checks = await restate.gather(*(ctx.service_call(handler, claim) for handler in HANDLERS.values()))
    return [await check for check in checks]


model = gemini()
agent = LlmAgent(
    name="RemoteChecksClaimAgent",
    model=model,
    instruction=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
    before_tool_callback=refuse_unknown_tool,
)
runner = claim_runner(agent, model, RestatePlugin(run_options=llm.RETRIES))

claim_service = restate.VirtualObject(
    service_name("RemoteChecksClaimAgent"), invocation_context_managers=[terminal_errors], state_preload=False
)


@claim_service.handler()
async def run(ctx: restate.ObjectContext, claim: SessionClaim) -> str:
    return await decide(runner, ctx, claim)


if __name__ == "__main__":
    serve(claim_service)
