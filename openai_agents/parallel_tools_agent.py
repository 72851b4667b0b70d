"""OpenAI Agents SDK: one tool that fans out to three durable steps.

uv run openai_agents/parallel_tools_agent.py
"""

import restate
from agents import Agent, AgentsException, RunConfig, RunContextWrapper, set_default_openai_client
from openai import AsyncOpenAI
from restate.ext.openai import DurableRunner, durable_function_tool, restate_context

from durable.fan_out import FanOut
from openai_agents.tool_calls import ONE_AT_A_TIME, keep_terminal_errors
from shared import llm
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim
from shared.serving import final_errors, serve, service_name


@durable_function_tool(failure_error_function=keep_terminal_errors)
async def calculate_metrics(run: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if refusal := run.context.refusal_of(claim):
        return [refusal]
    ctx, fan_out = restate_context(), FanOut()
    return await fan_out.gather(
        ctx.run_typed("eligibility", fan_out.step(check_eligibility), claim=claim),
        ctx.run_typed("cost", fan_out.step(compare_to_standard_rates), claim=claim),
        ctx.run_typed("fraud", fan_out.step(check_fraud), claim=claim),
    )


agent = Agent[InsuranceClaim](
    name="ParallelToolClaimAgent",
    model=llm.openai_model(),
    instructions=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
)
set_default_openai_client(AsyncOpenAI(timeout=llm.MODEL_TIMEOUT))

claim_service = restate.Service(
    service_name("ParallelToolClaimAgent"), invocation_context_managers=[final_errors(AgentsException)]
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    result = await DurableRunner.run(
        agent,
        prompt,
        context=claim,
        max_turns=llm.MAX_TURNS,
        run_config=RunConfig(tool_execution=ONE_AT_A_TIME),
        run_options=llm.MODEL_CALL,
    )
    return llm.answer(result.final_output)


if __name__ == "__main__":
    serve(claim_service)
