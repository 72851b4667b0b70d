"""No agent SDK: the model asks for three tools in one turn, and they run in parallel.

uv run restate_loop/parallel_tool_calls_agent.py
"""

import restate

from restate_loop.agent_loop import Agent
from restate_loop.check_tools import CHECK_TOOLS
from shared import llm
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name

agent = Agent(
    instructions=llm.THREE_TOOLS_INSTRUCTIONS,
    tools=[*CHECK_TOOLS.values()],
)

claim_service = restate.Service(service_name("ParallelToolCallsClaimAgent"), invocation_context_managers=GUARDS)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    return await agent.run(ctx, prompt, claim)


if __name__ == "__main__":
    serve(claim_service)
