"""Acme, an SDK that does not exist: one tool that fans out to three durable steps."""

from typing import Any

import restate
from openai import AsyncOpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from shared import llm
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name


class Metrics(BaseModel):
    claim: InsuranceClaim


async def calculate_metrics(ctx: restate.Context, claim: InsuranceClaim) -> list[str]:
    checks = await restate.gather(
        ctx.run_typed("eligibility", check_eligibility, claim=claim),
        ctx.run_typed("cost", compare_to_standard_rates, claim=claim),
        ctx.run_typed("fraud", check_fraud, claim=claim),
    )
    return [await check for check in checks]


model = llm.openai_model()
client = AsyncOpenAI(http_client=llm.http_client())
agent = pydantic_function_tool(Metrics, name="calculate_metrics")

claim_service = restate.Service(service_name("ParallelToolClaimAgent"), invocation_context_managers=GUARDS)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    prompt = {"role": "user", "content": f"Claim: {claim.model_dump_json()}"}

    async def call_model(messages: list[Any]) -> ChatCompletion:
        return await client.chat.completions.create(model=model, messages=messages, tools=[agent])

    asked = (await ctx.run_typed("call LLM", call_model, llm.RETRIES, [prompt])).choices[0].message
    assert asked.tool_calls
    [call] = asked.tool_calls
    result = {"role": "tool", "tool_call_id": call.id, "content": str(await calculate_metrics(ctx, claim))}
    messages = [prompt, asked.model_dump(exclude_none=True), result]
    answer = await ctx.run_typed("call LLM", call_model, llm.RETRIES, messages)
    return llm.answer(answer.choices[0].message.content)


if __name__ == "__main__":
    serve(claim_service)
