"""Google ADK: the caller sees the claim as it happens, through a crash; the session is kept.

uv run google_adk/streaming_agent.py
"""

import restate
from google.adk.agents import LlmAgent
from google.adk.tools.tool_context import ToolContext
from restate.ext.adk import restate_context

from durable.adapters.google_adk import Streamed, StreamedRestatePlugin
from durable.streaming import streamed
from google_adk.sdk import claim_runner, decide, gemini, refuse_unknown_tool, submitted
from shared import llm
from shared.checks import CHECKS
from shared.claims import InsuranceClaim, SessionClaim
from shared.serving import GUARDS, serve, service_name


async def calculate_metrics(claim: InsuranceClaim, tool_context: ToolContext) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := submitted(tool_context).mismatch_with(claim):
        return [mismatch]
    ctx = restate_context()
    steps = (ctx.run_typed(name, check.function, claim=claim) for name, check in CHECKS.items())
    checks = await restate.gather(*steps)
    return [await check for check in checks]


model = gemini()
agent = LlmAgent(
    name="StreamingClaimAgent",
    model=Streamed(model),
    instruction=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
    before_tool_callback=refuse_unknown_tool,
)
runner = claim_runner(agent, model, StreamedRestatePlugin(run_options=llm.RETRIES))

claim_service = restate.VirtualObject(
    service_name("StreamingClaimAgent"),
    invocation_context_managers=[streamed, *GUARDS],
    state_preload=False,
)


@claim_service.handler()
async def run(ctx: restate.ObjectContext, claim: SessionClaim) -> str:
    return await decide(runner, ctx, claim)


if __name__ == "__main__":
    serve(claim_service)
