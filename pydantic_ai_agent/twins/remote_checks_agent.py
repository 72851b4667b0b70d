"""Pydantic AI: one tool that calls three checks in another service.

Restate retries each call as a separate invocation, so no failure has to be held back.

uv run pydantic_ai_agent/twins/remote_checks_agent.py
"""

import restate
from pydantic_ai import Agent, RunContext, UsageLimits
from restate.ext.pydantic import RestateAgent, restate_context

from deploy.check_services import HANDLERS
from pydantic_ai_agent.sdk import openai_model
from shared import llm
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name, terminal_errors


async def calculate_metrics(tool_context: RunContext[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := tool_context.deps.mismatch_with(claim):
        return [mismatch]
    ctx = restate_context()
    checks = await restate.gather(*(ctx.service_call(handler, claim) for handler in HANDLERS.values()))
    return [await check for check in checks]


claim_agent = Agent(
    openai_model(),
    name="RemoteChecksClaimAgent",
    instructions=llm.INSTRUCTIONS,
    deps_type=InsuranceClaim,
    tools=[calculate_metrics],
)
agent = RestateAgent(claim_agent, run_options=llm.RETRIES)

claim_service = restate.Service(service_name("RemoteChecksClaimAgent"), invocation_context_managers=[terminal_errors])


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    with agent.parallel_tool_call_execution_mode("sequential"):  # the same order on every replay
        result = await agent.run(prompt, deps=claim, usage_limits=UsageLimits(request_limit=llm.MAX_TURNS))
    return llm.answer(result.output)


if __name__ == "__main__":
    serve(claim_service)
