"""LangChain: one tool that calls three checks in another service.

Restate retries each call as a separate invocation, so no failure has to be held back.

uv run langchain_agent/twins/remote_checks_agent.py
"""

import restate
from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from restate.ext.langchain import RestateMiddleware, restate_context

from deploy.check_services import HANDLERS
from langchain_agent.sdk import AskAgain, openai_model
from shared import llm
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name, terminal_errors


@tool
async def calculate_metrics(claim: InsuranceClaim, runtime: ToolRuntime[InsuranceClaim]) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := runtime.context.mismatch_with(claim):
        return [mismatch]
    ctx = restate_context()
    checks = await restate.gather(*(ctx.service_call(handler, claim) for handler in HANDLERS.values()))
    return [await check for check in checks]


agent = create_agent(
    name="RemoteChecksClaimAgent",
    model=openai_model(),
    system_prompt=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
    context_schema=InsuranceClaim,
    middleware=[AskAgain(), RestateMiddleware(run_options=llm.RETRIES)],
)

claim_service = restate.Service(service_name("RemoteChecksClaimAgent"), invocation_context_managers=[terminal_errors])


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
