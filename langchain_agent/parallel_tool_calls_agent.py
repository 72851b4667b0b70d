"""LangChain: the model asks for three tools in one turn, and they run in parallel.

uv run langchain_agent/parallel_tool_calls_agent.py
"""

import restate
from langchain.agents import create_agent

from durable.adapters.langchain import ParallelRestateMiddleware
from langchain_agent.check_tools import CHECK_TOOLS
from langchain_agent.sdk import AskAgain, openai_model
from shared import llm
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name

agent = create_agent(
    name="ParallelToolCallsClaimAgent",
    model=openai_model(),
    system_prompt=llm.THREE_TOOLS_INSTRUCTIONS,
    tools=[*CHECK_TOOLS.values()],
    context_schema=InsuranceClaim,
    middleware=[AskAgain(), ParallelRestateMiddleware(run_options=llm.RETRIES)],
)

claim_service = restate.Service(service_name("ParallelToolCallsClaimAgent"), invocation_context_managers=GUARDS)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    state = await agent.ainvoke(
        {"messages": [{"role": "user", "content": prompt}]},
        {"recursion_limit": 2 * llm.MAX_TURNS},
        context=claim,
    )
    message = state["messages"][-1]
    return llm.answer(message.text)


if __name__ == "__main__":
    serve(claim_service)
