"""LangChain: the model asks for three tools in one turn, and they run in parallel.

uv run langchain_agent/parallel_tool_calls_agent.py
"""

import restate
from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from restate.ext.langchain import restate_context

from durable.adapters.langchain import ParallelRestateMiddleware
from durable.held_steps import hold_failures
from langchain_agent.model import openai_model
from langchain_agent.tool_calls import AskAgain
from shared import checks, llm
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name, terminal_errors


@tool
async def check_eligibility(claim: InsuranceClaim, runtime: ToolRuntime[InsuranceClaim]) -> str:
    """Is the treatment covered, at this place, on this day?"""
    if mismatch := runtime.context.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("eligibility", checks.check_eligibility, claim=claim)


@tool
async def compare_to_standard_rates(claim: InsuranceClaim, runtime: ToolRuntime[InsuranceClaim]) -> str:
    """Is the amount reasonable?"""
    if mismatch := runtime.context.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("cost", checks.compare_to_standard_rates, claim=claim)


@tool
async def check_fraud(claim: InsuranceClaim, runtime: ToolRuntime[InsuranceClaim]) -> str:
    """How high is the risk of fraud?"""
    if mismatch := runtime.context.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("fraud", checks.check_fraud, claim=claim)


agent = create_agent(
    name="ParallelToolCallsClaimAgent",
    model=openai_model(),
    system_prompt=llm.THREE_TOOLS_INSTRUCTIONS,
    tools=[check_eligibility, compare_to_standard_rates, check_fraud],
    context_schema=InsuranceClaim,
    middleware=[AskAgain(), ParallelRestateMiddleware(run_options=llm.RETRIES)],
)

claim_service = restate.Service(
    service_name("ParallelToolCallsClaimAgent"),
    invocation_context_managers=[hold_failures, terminal_errors],
)


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
