"""OpenAI Agents SDK: one tool that calls three checks in another service.

Restate retries each call as a separate invocation, so no failure has to be held back.

uv run openai_agents/twins/remote_checks_agent.py
"""

import restate
from agents import Agent, RunContextWrapper
from restate.ext.openai import DurableRunner, durable_function_tool, restate_context

from deploy.check_services import HANDLERS
from openai_agents.sdk import ONE_BY_ONE, keep_terminal_errors, openai_model
from shared import llm
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name, terminal_errors


@durable_function_tool(failure_error_function=keep_terminal_errors)
async def calculate_metrics(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := tool_context.context.mismatch_with(claim):
        return [mismatch]
    ctx = restate_context()
    checks = await restate.gather(*(ctx.service_call(handler, claim) for handler in HANDLERS.values()))
    return [await check for check in checks]


agent = Agent[InsuranceClaim](
    name="RemoteChecksClaimAgent",
    model=openai_model(),
    instructions=llm.INSTRUCTIONS,
    tools=[calculate_metrics],
)

claim_service = restate.Service(service_name("RemoteChecksClaimAgent"), invocation_context_managers=[terminal_errors])


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    result = await DurableRunner.run(
        agent,
        prompt,
        context=claim,
        max_turns=llm.MAX_TURNS,
        run_config=ONE_BY_ONE,
        run_options=llm.RETRIES,
    )
    return llm.answer(result.final_output)


if __name__ == "__main__":
    serve(claim_service)
