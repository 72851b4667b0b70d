"""LangChain: the caller sees the claim as it happens, through a crash.

uv run langchain_agent/streaming_agent.py
"""

import restate
from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from restate.ext.langchain import restate_context

from durable.adapters.langchain import StreamedRestateMiddleware
from durable.streaming import streamed
from langchain_agent.sdk import AskAgain, openai_model
from shared import llm
from shared.checks import CHECKS
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name


@tool
async def calculate_metrics(claim: InsuranceClaim, runtime: ToolRuntime[InsuranceClaim]) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := runtime.context.mismatch_with(claim):
        return [mismatch]
    ctx = restate_context()
    steps = (ctx.run_typed(name, check.function, claim=claim) for name, check in CHECKS.items())
    checks = await restate.gather(*steps)
    return [await check for check in checks]


agent = create_agent(
    name="StreamingClaimAgent",
    model=openai_model(),
    system_prompt=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
    context_schema=InsuranceClaim,
    middleware=[AskAgain(), StreamedRestateMiddleware(run_options=llm.RETRIES)],
)

claim_service = restate.Service(
    service_name("StreamingClaimAgent"),
    invocation_context_managers=[streamed, *GUARDS],
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    state = await agent.ainvoke(
        {"messages": [{"role": "user", "content": prompt}]},
        # One tool call at a time: otherwise the end of another call can hide a call's terminal error.
        {"recursion_limit": 2 * llm.MAX_TURNS, "max_concurrency": 1},
        context=claim,
    )
    message = state["messages"][-1]
    return llm.answer(message.text)


if __name__ == "__main__":
    serve(claim_service)
