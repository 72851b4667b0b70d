"""Google ADK: the model asks for three tools in one turn, and they run in parallel.

uv run google_adk/parallel_tool_calls_agent.py
"""

import restate
from google.adk.agents import LlmAgent

from durable.adapters.google_adk import ParallelRestatePlugin
from google_adk.check_tools import CHECK_TOOLS
from google_adk.sdk import claim_runner, decide, gemini, refuse_unknown_tool
from shared import llm
from shared.claims import SessionClaim
from shared.serving import GUARDS, serve, service_name

model = gemini()
agent = LlmAgent(
    name="ParallelToolCallsClaimAgent",
    model=model,
    instruction=llm.THREE_TOOLS_INSTRUCTIONS,
    tools=[*CHECK_TOOLS.values()],
    before_tool_callback=refuse_unknown_tool,
)
runner = claim_runner(agent, model, ParallelRestatePlugin(run_options=llm.RETRIES))

claim_service = restate.VirtualObject(
    service_name("ParallelToolCallsClaimAgent"),
    invocation_context_managers=GUARDS,
    state_preload=False,
)


@claim_service.handler()
async def run(ctx: restate.ObjectContext, claim: SessionClaim) -> str:
    return await decide(runner, ctx, claim)


if __name__ == "__main__":
    serve(claim_service)
