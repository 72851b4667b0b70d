"""An agent on its own loop, made durable by Restate: its tool books a flight, a hotel and a car in parallel.

Serve it on port 9080: uv run my_agent.py
"""

import asyncio
import os
from datetime import timedelta
from typing import Any

import restate
from hypercorn.asyncio import serve
from hypercorn.config import Config
from openai import AsyncOpenAI, pydantic_function_tool
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam
from pydantic import BaseModel, ValidationError

from durable.checked_input import checked_input
from durable.exact.openai import AsReceived
from durable.held_steps import hold_failures
from durable.tool_calls import ToolCalls

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5.4")
INSTRUCTIONS = "You book trips. Call book_trip once for each city. Then say in one short paragraph what is reserved."
RETRIES: restate.RunOptions[ChatCompletion] = restate.RunOptions(
    max_attempts=3, initial_retry_interval=timedelta(seconds=1), serde=AsReceived(ChatCompletion)
)
"""A model call gets three attempts; then the request ends with an error."""
MAX_TURNS = 10


async def reserve(what: str, city: str, seconds: float) -> str:
    """A stand-in: put your own work here, such as a call of a service. Raise an error, and Restate tries it again."""
    print(f"reserving the {what}", flush=True)
    await asyncio.sleep(seconds)
    return f"{what} in {city}: reserved"


class Trip(BaseModel):
    """Book a trip to a city: the flight, the hotel and a car."""

    city: str


async def book_trip(ctx: restate.Context, city: str) -> list[str]:
    steps = await restate.gather(
        ctx.run_typed("flight", reserve, what="flight", city=city, seconds=0.1),
        ctx.run_typed("hotel", reserve, what="hotel", city=city, seconds=0.2),
        ctx.run_typed("car", reserve, what="car", city=city, seconds=1.5),
    )
    return [await step for step in steps]


client = AsyncOpenAI()
TOOLS = [pydantic_function_tool(Trip, name="book_trip")]


async def call_model(messages: list[ChatCompletionMessageParam]) -> ChatCompletion:
    return await client.chat.completions.create(model=MODEL, messages=messages, tools=TOOLS)


async def run_tool(calls: ToolCalls, call: Any) -> ChatCompletionMessageParam:
    """Run one tool call of a turn, beside the others; the model is told about arguments that do not fit."""
    async with calls.turn(call.id) as ctx:
        try:
            trip = Trip.model_validate_json(call.function.arguments)
        except ValidationError as error:
            content = f"error: {error}"
        else:
            content = str(await book_trip(ctx, trip.city))
    return {"role": "tool", "tool_call_id": call.id, "content": content}


service = restate.Service("MyAgent", invocation_context_managers=[hold_failures, checked_input(str)])


@service.handler()
async def run(ctx: restate.Context, request: str) -> str:
    messages: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": INSTRUCTIONS},
        {"role": "user", "content": request},
    ]
    for _ in range(MAX_TURNS):
        completion = await ctx.run_typed("call LLM", call_model, RETRIES, messages)
        answer = completion.choices[0].message
        if not answer.tool_calls:
            return answer.content or ""
        messages.append(answer.model_dump(exclude_none=True))  # type: ignore[arg-type]
        calls = ToolCalls(ctx, [call.id for call in answer.tool_calls])
        messages += await asyncio.gather(*(run_tool(calls, call) for call in answer.tool_calls))
    raise restate.TerminalError(f"the model gave no answer in {MAX_TURNS} turns")


if __name__ == "__main__":
    config = Config()
    config.bind = [f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '9080')}"]
    asyncio.run(serve(restate.app([service]), config))
