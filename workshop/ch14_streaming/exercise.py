"""Chapter 14: streaming. The caller sees the claim as it happens; after a crash, it sees some text twice.

uv run tour workshop check 14
"""

import uuid

import restate
from openai import AsyncOpenAI, pydantic_function_tool
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from pydantic import BaseModel

from durable.streaming import model_call, report
from shared import llm
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import InsuranceClaim
from shared.serving import GUARDS, serve, service_name


class Metrics(BaseModel):
    """Check a claim: eligibility, cost against standard rates, fraud risk."""

    claim: InsuranceClaim


async def calculate_metrics(ctx: restate.Context, claim: InsuranceClaim) -> list[str]:
    checks = await restate.gather(
        ctx.run_typed("eligibility", check_eligibility, claim=claim),
        ctx.run_typed("cost", compare_to_standard_rates, claim=claim),
        ctx.run_typed("fraud", check_fraud, claim=claim),
    )
    return [await check for check in checks]


MODEL = llm.openai_model()
TOOLS = [pydantic_function_tool(Metrics, name="calculate_metrics")]
client = AsyncOpenAI(http_client=llm.http_client())


def forward(text: str) -> None:
    """Send a piece of the model's text to the caller."""
    if text:
        report(str(uuid.uuid4()), "piece", text)


async def call_model(messages: list[ChatCompletionMessageParam]) -> ChatCompletion:
    state = ChatCompletionStreamState()
    chunks = await client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS, stream=True)
    async for chunk in chunks:
        state.handle_chunk(chunk)
        for choice in chunk.choices:
            # EXERCISE: let this piece belong to an attempt of the model call, which a crash takes back.
            forward(choice.delta.content or "")
    return state.get_final_completion()


# EXERCISE: let this service report what its invocations do.
claim_service = restate.Service(
    service_name("StreamingClaimAgent"),
    invocation_context_managers=[*GUARDS],
)


@claim_service.handler()
async def run(ctx: restate.Context, claim: InsuranceClaim) -> str:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": llm.INSTRUCTIONS},
        {"role": "user", "content": f"Claim: {claim.model_dump_json()}"},
    ]
    for _ in range(llm.MAX_TURNS):
        reported = model_call()
        completion = await ctx.run_typed("call LLM", call_model, llm.RETRIES, messages)
        answer = completion.choices[0].message
        calls = [(call.id, call.function.name, call.function.arguments) for call in answer.tool_calls or []]
        reported.in_journal(answer.content or "", calls)
        if not calls:
            return llm.answer(answer.content)
        # `index` is a field of the stream, which a message does not have.
        messages.append(answer.model_dump(exclude_none=True, exclude={"tool_calls": {"__all__": {"index"}}}))
        for id, _, arguments in calls:
            metrics = await calculate_metrics(ctx, Metrics.model_validate_json(arguments).claim)
            messages.append({"role": "tool", "tool_call_id": id, "content": str(metrics)})
    raise restate.TerminalError(f"the model gave no answer in {llm.MAX_TURNS} turns")


if __name__ == "__main__":
    serve(claim_service)
