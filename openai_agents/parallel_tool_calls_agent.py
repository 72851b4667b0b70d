"""OpenAI Agents SDK: the model asks for three tools in one turn, and they run in parallel.

uv run openai_agents/parallel_tool_calls_agent.py
"""

import restate
from agents import Agent

from durable.adapters.openai_agents import ParallelRunner
from openai_agents.check_tools import CHECK_TOOLS
from openai_agents.sdk import AT_ONCE, openai_model
from shared import llm
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name

agent = Agent[InsuranceClaim](
    name="ParallelToolCallsClaimAgent",
    model=openai_model(),
    instructions=llm.THREE_TOOLS_INSTRUCTIONS,
    tools=[*CHECK_TOOLS.values()],
)

claim_service = restate.Service(service_name("ParallelToolCallsClaimAgent"), invocation_context_managers=GUARDS)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    result = await ParallelRunner.run(
        agent,
        prompt,
        context=claim,
        max_turns=llm.MAX_TURNS,
        run_config=AT_ONCE,
        run_options=llm.RETRIES,
    )
    return llm.answer(result.final_output)


if __name__ == "__main__":
    serve(claim_service)
