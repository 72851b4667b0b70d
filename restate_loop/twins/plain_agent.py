"""No agent SDK, without Restate: `tour bench` compares the durable loop with this one.

uv run restate_loop/twins/plain_agent.py
"""

import asyncio
from functools import partial

from openai import AsyncOpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from pydantic import BaseModel

from bench.serving import CHECKS, STREAMS, serve_plain
from restate_loop.agent_loop import streamed_answer
from shared import llm
from shared.claims import InsuranceClaim


class Metrics(BaseModel):
    claim: InsuranceClaim


async def calculate_metrics(claim: InsuranceClaim) -> list[str]:
    return list(await asyncio.gather(*(check(claim) for check in CHECKS.values())))


MODEL = llm.openai_model()
client = AsyncOpenAI(timeout=llm.MODEL_TIMEOUT)
TOOL = pydantic_function_tool(
    Metrics,
    name="calculate_metrics",
    description="Check a claim: eligibility, cost against standard rates, fraud risk.",
)


async def run(claim: InsuranceClaim) -> str:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": llm.INSTRUCTIONS},
        {"role": "user", "content": f"Claim: {claim.model_dump_json()}"},
    ]
    for _ in range(llm.MAX_TURNS):
        asked = partial(client.chat.completions.create, model=MODEL, messages=messages, tools=[TOOL])
        completion: ChatCompletion = await (streamed_answer(asked) if STREAMS else asked())
        answer = completion.choices[0].message
        if not answer.tool_calls:
            return llm.answer(answer.content)
        messages.append(answer.model_dump(exclude_none=True))  # type: ignore[arg-type]
        for call in answer.tool_calls:
            assert call.type == "function"
            given = Metrics.model_validate_json(call.function.arguments).claim
            content = claim.mismatch_with(given) or str(await calculate_metrics(given))
            messages.append({"role": "tool", "tool_call_id": call.id, "content": content})
    raise RuntimeError(f"the model gave no answer in {llm.MAX_TURNS} turns")


if __name__ == "__main__":
    serve_plain(InsuranceClaim, run)
