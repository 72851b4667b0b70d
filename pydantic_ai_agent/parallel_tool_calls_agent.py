"""Pydantic AI: the model asks for three tools in one turn, and they run in parallel.

uv run pydantic_ai_agent/parallel_tool_calls_agent.py
"""

import restate
from pydantic_ai import Agent, UsageLimits
from restate.ext.pydantic import RestateAgent

from durable.adapters.pydantic_ai import ParallelToolCalls
from pydantic_ai_agent.check_tools import CHECK_TOOLS
from pydantic_ai_agent.sdk import openai_model
from shared import llm
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name

claim_agent = Agent(
    openai_model(),
    name="ParallelToolCallsClaimAgent",
    instructions=llm.THREE_TOOLS_INSTRUCTIONS,
    deps_type=InsuranceClaim,
    tools=[*CHECK_TOOLS.values()],
    capabilities=[ParallelToolCalls()],
)
agent = RestateAgent(claim_agent, run_options=llm.RETRIES)

claim_service = restate.Service(service_name("ParallelToolCallsClaimAgent"), invocation_context_managers=GUARDS)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    result = await agent.run(prompt, deps=claim, usage_limits=UsageLimits(request_limit=llm.MAX_TURNS))
    return llm.answer(result.output)


if __name__ == "__main__":
    serve(claim_service)
