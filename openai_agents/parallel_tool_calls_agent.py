"""OpenAI Agents SDK: the model asks for three tools in one turn, and they run in parallel.

uv run openai_agents/parallel_tool_calls_agent.py
"""

import restate
from agents import Agent, RunContextWrapper
from restate.ext.openai import durable_function_tool, restate_context

from durable.adapters.openai_agents import ParallelRunner
from durable.held_steps import hold_failures
from openai_agents.model import openai_model
from openai_agents.tool_calls import AT_ONCE, keep_terminal_errors
from shared import checks, llm
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name, terminal_errors

durable_tool = durable_function_tool(failure_error_function=keep_terminal_errors)


@durable_tool
async def check_eligibility(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> str:
    """Is the treatment covered, at this place, on this day?"""
    if mismatch := tool_context.context.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("eligibility", checks.check_eligibility, claim=claim)


@durable_tool
async def compare_to_standard_rates(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> str:
    """Is the amount reasonable?"""
    if mismatch := tool_context.context.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("cost", checks.compare_to_standard_rates, claim=claim)


@durable_tool
async def check_fraud(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> str:
    """How high is the risk of fraud?"""
    if mismatch := tool_context.context.mismatch_with(claim):
        return mismatch
    return await restate_context().run_typed("fraud", checks.check_fraud, claim=claim)


agent = Agent[InsuranceClaim](
    name="ParallelToolCallsClaimAgent",
    model=openai_model(),
    instructions=llm.THREE_TOOLS_INSTRUCTIONS,
    tools=[check_eligibility, compare_to_standard_rates, check_fraud],
)

claim_service = restate.Service(
    service_name("ParallelToolCallsClaimAgent"),
    invocation_context_managers=[hold_failures, terminal_errors],
)


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
