"""Pydantic AI: one tool that fans out to three durable steps.

uv run pydantic_ai_agent/parallel_tools_agent.py
"""

import restate
from openai import AsyncOpenAI
from pydantic_ai import Agent, AgentRunError, RunContext, UsageLimits
from pydantic_ai.models.openai import OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider
from restate.ext.pydantic import RestateAgent, restate_context

import durable.quick_serde  # noqa: F401 - halves the CPU that a claim costs
from durable.fan_out import FanOut
from shared import llm
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim
from shared.serving import final_errors, serve, service_name


async def calculate_metrics(run: RunContext[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if refusal := run.deps.refusal_of(claim):
        return [refusal]
    ctx, fan_out = restate_context(), FanOut()
    return await fan_out.gather(
        ctx.run_typed("eligibility", fan_out.step(check_eligibility), claim=claim),
        ctx.run_typed("cost", fan_out.step(compare_to_standard_rates), claim=claim),
        ctx.run_typed("fraud", fan_out.step(check_fraud), claim=claim),
    )


model_name = llm.openai_model()
provider = OpenAIProvider(openai_client=AsyncOpenAI(timeout=llm.MODEL_TIMEOUT))
claim_agent = Agent(
    OpenAIResponsesModel(model_name, provider=provider),
    name="ParallelToolClaimAgent",
    instructions=llm.INSTRUCTIONS,
    deps_type=InsuranceClaim,
    tools=[calculate_metrics],
)
agent = RestateAgent(claim_agent, run_options=llm.MODEL_CALL)

claim_service = restate.Service(
    service_name("ParallelToolClaimAgent"), invocation_context_managers=[final_errors(AgentRunError)]
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    with agent.parallel_tool_call_execution_mode("sequential"):  # the same order on every replay
        result = await agent.run(prompt, deps=claim, usage_limits=UsageLimits(request_limit=llm.MAX_TURNS))
    return llm.answer(result.output)


if __name__ == "__main__":
    serve(claim_service)
