"""A loop on the Restate SDK."""

from typing import Any

import restate
from openai import AsyncOpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletion
from pydantic import BaseModel

from shared import llm
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim
from shared.serving import serve, service_name


class Metrics(BaseModel):
    """Check a claim: eligibility, cost against standard rates, fraud risk."""

    claim: InsuranceClaim


MODEL = llm.openai_model()
client = AsyncOpenAI()
TOOLS = [pydantic_function_tool(Metrics, name="calculate_metrics")]
claim_service = restate.Service(service_name("ParallelToolClaimAgent"))


async def call_llm(messages: list[Any]) -> ChatCompletion:
    return await client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)


async def calculate_metrics(ctx: restate.Context, claim: InsuranceClaim) -> list[str]:
    checks = await restate.gather(
        ctx.run_typed("eligibility", check_eligibility, claim=claim),
        ctx.run_typed("cost", compare_to_standard_rates, claim=claim),
        ctx.run_typed("fraud", check_fraud, claim=claim),
    )
    return [await check for check in checks]


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str | None:
    messages: list[Any] = [
        {"role": "system", "content": llm.INSTRUCTIONS},
        {"role": "user", "content": f"Claim: {claim.model_dump_json()}"},
    ]
    while True:
        completion = await ctx.run_typed("call LLM", call_llm, restate.RunOptions(max_attempts=3), messages=messages)
        answer = completion.choices[0].message
        if not answer.tool_calls:
            return answer.content
        messages.append(answer.model_dump(exclude_none=True))
        for call in answer.tool_calls:
            arguments = Metrics.model_validate_json(call.function.arguments)  # type: ignore[union-attr]
            metrics = await calculate_metrics(ctx, arguments.claim)
            messages.append({"role": "tool", "tool_call_id": call.id, "content": str(metrics)})


if __name__ == "__main__":
    serve(claim_service)
