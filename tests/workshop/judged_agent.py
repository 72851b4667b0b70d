"""A solution to chapter 13 of the workshop, which no page or command shows.

uv run tests/workshop/judged_agent.py
"""

import asyncio
from typing import Any

import restate
from openai import AsyncOpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from durable.tool_calls import ToolCalls
from shared import llm
from shared.checks import CHECKS
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name
from workshop.ch13_the_judge import insurer


class Arguments(BaseModel):
    claim: InsuranceClaim


MODEL = llm.openai_model()
CHECK_OF = {check.tool: check.name for check in CHECKS.values()}
TOOLS = [pydantic_function_tool(Arguments, name=each.tool, description=each.description) for each in CHECKS.values()]
client = AsyncOpenAI(http_client=llm.http_client())


async def call_model(messages: list[Any]) -> ChatCompletion:
    return await client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)


async def run_tool(calls: ToolCalls, call: Any) -> dict[str, str]:
    check = CHECK_OF[call.function.name]
    claim = Arguments.model_validate_json(call.function.arguments).claim
    async with calls.turn(call.id) as ctx:
        finding = await ctx.run_typed(check, insurer.examine, check=check, claim=claim)
        await ctx.run_typed(f"file {check}", insurer.file, check=check, finding=finding)
    return {"role": "tool", "tool_call_id": call.id, "content": finding}


claim_service = restate.Service(service_name("JudgedClaimAgent"), invocation_context_managers=GUARDS)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    reference = ctx.uuid().hex[:8]
    messages: list[Any] = [
        {"role": "system", "content": llm.THREE_TOOLS_INSTRUCTIONS},
        {"role": "user", "content": f"Claim: {claim.model_dump_json()}"},
    ]
    for _ in range(llm.MAX_TURNS):
        completion = await ctx.run_typed("call LLM", call_model, llm.RETRIES, messages)
        answer = completion.choices[0].message
        if not answer.tool_calls:
            decision = llm.answer(answer.content)
            if decision.startswith("Approved"):
                await ctx.run_typed("pay", insurer.pay, reference=reference, amount=claim.amount)
            await ctx.run_typed("write", insurer.write, reference=reference, decision=decision)
            return decision
        messages.append(answer.model_dump(exclude_none=True))
        calls = ToolCalls(ctx, [call.id for call in answer.tool_calls])
        messages += await asyncio.gather(*(run_tool(calls, call) for call in answer.tool_calls))
    raise restate.TerminalError(f"the model gave no answer in {llm.MAX_TURNS} turns")


if __name__ == "__main__":
    serve(claim_service)
