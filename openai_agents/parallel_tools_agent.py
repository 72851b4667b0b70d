"""OpenAI Agents SDK: one tool that fans out to three durable steps.

uv run openai_agents/parallel_tools_agent.py
"""

import restate
from agents import Agent, AgentsException, set_default_openai_client
from openai import AsyncOpenAI
from restate.ext.openai import DurableRunner, durable_function_tool, restate_context

from shared import llm
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim
from shared.serving import final_errors, serve, service_name


@durable_function_tool
async def calculate_metrics(claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    ctx = restate_context()
    results = await restate.gather(
        ctx.run_typed("eligibility", check_eligibility, claim=claim),
        ctx.run_typed("cost", compare_to_standard_rates, claim=claim),
        ctx.run_typed("fraud", check_fraud, claim=claim),
    )
    return [await result for result in results]


agent = Agent(
    name="ParallelToolClaimAgent",
    model=llm.openai_model(),
    instructions=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
)
set_default_openai_client(AsyncOpenAI(max_retries=0))

claim_service = restate.Service(
    service_name("ParallelToolClaimAgent"), invocation_context_managers=[final_errors(AgentsException)]
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json(by_alias=True)}"
    result = await DurableRunner.run(agent, prompt, run_options=llm.MODEL_CALL, max_turns=llm.MAX_TURNS)
    return str(result.final_output)


if __name__ == "__main__":
    serve(claim_service)
