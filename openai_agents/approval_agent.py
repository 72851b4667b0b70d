"""OpenAI Agents SDK: a person decides on a high or risky claim, as one step.

uv run openai_agents/approval_agent.py
"""

import restate
from agents import Agent, RunContextWrapper
from restate.ext.openai import DurableRunner, durable_function_tool, restate_context

from durable.streaming import streamed
from openai_agents.sdk import ONE_BY_ONE, keep_terminal_errors, openai_model
from shared import llm
from shared.approval import approval, ask_a_person, why_a_person, withdrawn_with_the_claim
from shared.checks import CHECKS
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name


@durable_function_tool(failure_error_function=keep_terminal_errors)
async def calculate_metrics(tool_context: RunContextWrapper[InsuranceClaim], claim: InsuranceClaim) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := tool_context.context.mismatch_with(claim):
        return [mismatch]
    ctx = restate_context()
    checks = {name: ctx.run_typed(name, check.function, claim=claim) for name, check in CHECKS.items()}
    steps = [*checks.values()]
    async for step in restate.as_completed(*steps):
        if step is checks["fraud"] and (why := why_a_person(claim, await step)):
            steps += [ask_a_person(ctx, claim, why)]  # the other checks go on meanwhile
    return [await step for step in steps]


agent = Agent[InsuranceClaim](
    name="ApprovalClaimAgent",
    model=openai_model(),
    instructions=llm.APPROVAL_INSTRUCTIONS,
    tools=[calculate_metrics],
)

claim_service = restate.Service(
    service_name("ApprovalClaimAgent"),
    invocation_context_managers=[streamed, withdrawn_with_the_claim, *GUARDS],
)


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
    serve(claim_service, approval)
