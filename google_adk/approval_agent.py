"""Google ADK: a person decides on a high or risky claim, as one step; a Virtual Object keeps the session.

uv run google_adk/approval_agent.py
"""

import restate
from google.adk.agents import LlmAgent
from google.adk.tools.tool_context import ToolContext
from restate.ext.adk import RestatePlugin, restate_context

from durable.streaming import streamed
from google_adk.sdk import claim_runner, decide, gemini, refuse_unknown_tool, submitted
from shared import llm
from shared.approval import approval, ask_a_person, why_a_person, withdrawn_with_the_claim
from shared.checks import CHECKS
from shared.claims import InsuranceClaim, SessionClaim
from shared.serving import GUARDS, serve, service_name


async def calculate_metrics(claim: InsuranceClaim, tool_context: ToolContext) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := submitted(tool_context).mismatch_with(claim):
        return [mismatch]
    ctx = restate_context()
    checks = {name: ctx.run_typed(name, check.function, claim=claim) for name, check in CHECKS.items()}
    steps = [*checks.values()]
    async for step in restate.as_completed(*steps):
        if step is checks["fraud"] and (why := why_a_person(claim, await step)):
            steps += [ask_a_person(ctx, claim, why)]  # the other checks go on meanwhile
    return [await step for step in steps]


model = gemini()
agent = LlmAgent(
    name="ApprovalClaimAgent",
    model=model,
    instruction=llm.APPROVAL_INSTRUCTIONS,
    tools=[calculate_metrics],
    before_tool_callback=refuse_unknown_tool,
)
runner = claim_runner(agent, model, RestatePlugin(run_options=llm.RETRIES))

claim_service = restate.VirtualObject(
    service_name("ApprovalClaimAgent"),
    invocation_context_managers=[streamed, withdrawn_with_the_claim, *GUARDS],
    state_preload=False,
)


@claim_service.handler()
async def run(ctx: restate.ObjectContext, claim: SessionClaim) -> str:
    return await decide(runner, ctx, claim)


if __name__ == "__main__":
    serve(claim_service, approval)
