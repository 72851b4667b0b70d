"""LangChain: a person decides on a high or risky claim, as one step.

uv run langchain_agent/approval_agent.py
"""

import restate
from langchain.agents import create_agent
from langchain.tools import ToolRuntime, tool
from restate.ext.langchain import RestateMiddleware, restate_context

from durable.streaming import streamed
from langchain_agent.sdk import AskAgain, openai_model
from shared import llm
from shared.approval import approval, ask_a_person, why_a_person, withdrawn_with_the_claim
from shared.checks import CHECKS
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name


@tool
async def calculate_metrics(claim: InsuranceClaim, runtime: ToolRuntime[InsuranceClaim]) -> list[str]:
    """Check a claim: eligibility, cost against standard rates, fraud risk."""
    if mismatch := runtime.context.mismatch_with(claim):
        return [mismatch]
    ctx = restate_context()
    checks = {name: ctx.run_typed(name, check.function, claim=claim) for name, check in CHECKS.items()}
    steps = [*checks.values()]
    async for step in restate.as_completed(*steps):
        if step is checks["fraud"] and (why := why_a_person(claim, await step)):
            steps += [ask_a_person(ctx, claim, why)]  # the other checks go on meanwhile
    return [await step for step in steps]


agent = create_agent(
    name="ApprovalClaimAgent",
    model=openai_model(),
    system_prompt=llm.APPROVAL_INSTRUCTIONS,
    tools=[calculate_metrics],
    context_schema=InsuranceClaim,
    middleware=[AskAgain(), RestateMiddleware(run_options=llm.RETRIES)],
)

claim_service = restate.Service(
    service_name("ApprovalClaimAgent"),
    invocation_context_managers=[streamed, withdrawn_with_the_claim, *GUARDS],
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
    serve(claim_service, approval)
