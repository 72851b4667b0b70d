"""Chapter 13: the judge. The agent has a claim examined, decides, pays, and writes to the customer. It has five faults.

uv run tour workshop check 13
"""

import asyncio
import uuid
from typing import Any

import restate
from openai import AsyncOpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from durable.held_steps import hold_failures
from shared import llm
from shared.checks import CHECKS
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name
from workshop.ch13_the_judge import insurer


class Arguments(BaseModel):
    claim: InsuranceClaim


MODEL = llm.openai_model()
CHECK_OF = {check.tool: check.name for check in CHECKS.values()}
TOOLS = [pydantic_function_tool(Arguments, name=each.tool, description=each.description) for each in CHECKS.values()]
client = AsyncOpenAI(http_client=llm.http_client())


async def call_model(messages: list[Any]) -> ChatCompletion:
    return await client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)


async def run_tool(ctx: restate.Context, call: Any) -> dict[str, str]:
    check = CHECK_OF[call.function.name]
    claim = Arguments.model_validate_json(call.function.arguments).claim
    finding = await ctx.run_typed(check, insurer.examine, check=check, claim=claim)
    await ctx.run_typed(f"file {check}", insurer.file, check=check, finding=finding)
    return {"role": "tool", "tool_call_id": call.id, "content": finding}


async def settle(reference: str, amount: float, decision: str) -> None:
    if decision.startswith("Approved"):
        await insurer.pay(reference, amount)
    await insurer.write(reference, decision)


# EXERCISE: the judge breaks five promises of this agent. Keep them.
claim_service = restate.Service(service_name("JudgedClaimAgent"), invocation_context_managers=[hold_failures])


@claim_service.handler()
async def run(ctx: restate.Context, request: dict[str, Any]) -> str:
    claim = InsuranceClaim.model_validate(request)
    reference = uuid.uuid4().hex[:8]
    messages: list[Any] = [
        {"role": "system", "content": llm.THREE_TOOLS_INSTRUCTIONS},
        {"role": "user", "content": f"Claim: {claim.model_dump_json()}"},
    ]
    for _ in range(llm.MAX_TURNS):
        completion = await call_model(messages)
        answer = completion.choices[0].message
        if not answer.tool_calls:
            decision = llm.answer(answer.content)
            await ctx.run_typed(
                f"settle {reference}", settle, reference=reference, amount=claim.amount, decision=decision
            )
            return decision
        messages.append(answer.model_dump(exclude_none=True))
        messages += await asyncio.gather(*(run_tool(ctx, call) for call in answer.tool_calls))
    raise restate.TerminalError(f"the model gave no answer in {llm.MAX_TURNS} turns")


if __name__ == "__main__":
    serve(claim_service)
