"""No agent SDK: the model asks for three tools in one turn, and they run in parallel.

uv run restate_loop/parallel_tool_calls_agent.py
"""

import restate
from pydantic import BaseModel

from durable.held_steps import hold_failures
from restate_loop.agent_loop import Agent, Call, Tool
from shared import checks, llm
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name, terminal_errors


class Arguments(BaseModel):
    claim: InsuranceClaim


async def check_eligibility(call: Call[InsuranceClaim], arguments: Arguments) -> str:
    if mismatch := call.given.mismatch_with(arguments.claim):
        return mismatch
    return await call.ctx.run_typed("eligibility", checks.check_eligibility, claim=arguments.claim)


async def compare_to_standard_rates(call: Call[InsuranceClaim], arguments: Arguments) -> str:
    if mismatch := call.given.mismatch_with(arguments.claim):
        return mismatch
    return await call.ctx.run_typed("cost", checks.compare_to_standard_rates, claim=arguments.claim)


async def check_fraud(call: Call[InsuranceClaim], arguments: Arguments) -> str:
    if mismatch := call.given.mismatch_with(arguments.claim):
        return mismatch
    return await call.ctx.run_typed("fraud", checks.check_fraud, claim=arguments.claim)


agent = Agent(
    instructions=llm.THREE_TOOLS_INSTRUCTIONS,
    tools=[
        Tool(
            "check_eligibility", "Is the treatment covered, at this place, on this day?", Arguments, check_eligibility
        ),
        Tool("compare_to_standard_rates", "Is the amount reasonable?", Arguments, compare_to_standard_rates),
        Tool("check_fraud", "How high is the risk of fraud?", Arguments, check_fraud),
    ],
)

claim_service = restate.Service(
    service_name("ParallelToolCallsClaimAgent"),
    invocation_context_managers=[hold_failures, terminal_errors],
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = f"Claim: {claim.model_dump_json()}"
    return await agent.run(ctx, prompt, claim)


if __name__ == "__main__":
    serve(claim_service)
