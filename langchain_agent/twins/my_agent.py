"""An agent on LangChain, made durable by Restate: its tool books a flight, a hotel and a car in parallel.

Serve it on port 9080: uv run my_agent.py
"""

import asyncio
import os
from datetime import timedelta
from typing import Any

import restate
from hypercorn.asyncio import serve
from hypercorn.config import Config
from langchain.agents import create_agent
from langchain.tools import tool
from langchain_openai import ChatOpenAI
from restate.ext.langchain import restate_context

from durable.adapters.langchain import ParallelRestateMiddleware
from durable.checked_input import checked_input
from durable.held_steps import hold_failures

MODEL = os.environ.get("OPENAI_MODEL", "gpt-5.4")
INSTRUCTIONS = "You book trips. Call book_trip once for each city. Then say in one short paragraph what is reserved."
RETRIES: restate.RunOptions[Any] = restate.RunOptions(max_attempts=3, initial_retry_interval=timedelta(seconds=1))
"""A model call gets three attempts; then the request ends with an error."""


async def reserve(what: str, city: str, seconds: float) -> str:
    """A stand-in: put your own work here, such as a call of a service. Raise an error, and Restate tries it again."""
    print(f"reserving the {what}", flush=True)
    await asyncio.sleep(seconds)
    return f"{what} in {city}: reserved"


@tool
async def book_trip(city: str) -> list[str]:
    """Book a trip to a city: the flight, the hotel and a car."""
    ctx = restate_context()
    steps = await restate.gather(
        ctx.run_typed("flight", reserve, what="flight", city=city, seconds=0.1),
        ctx.run_typed("hotel", reserve, what="hotel", city=city, seconds=0.2),
        ctx.run_typed("car", reserve, what="car", city=city, seconds=1.5),
    )
    return [await step for step in steps]


agent = create_agent(
    name="MyAgent",
    model=ChatOpenAI(model=MODEL),
    system_prompt=INSTRUCTIONS,
    tools=[book_trip],
    middleware=[ParallelRestateMiddleware(run_options=RETRIES)],
)

service = restate.Service("MyAgent", invocation_context_managers=[hold_failures, checked_input(str)])


@service.handler()
async def run(ctx: restate.Context, request: str) -> str:
    state = await agent.ainvoke({"messages": [{"role": "user", "content": request}]})
    return str(state["messages"][-1].text)


if __name__ == "__main__":
    config = Config()
    config.bind = [f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '9080')}"]
    asyncio.run(serve(restate.app([service]), config))
