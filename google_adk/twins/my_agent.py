"""An agent on Google ADK, made durable by Restate: its tool books a flight, a hotel and a car in parallel.

Serve it on port 9080: uv run my_agent.py
"""

import asyncio
import os
from datetime import timedelta
from typing import Any

import restate
from google.adk.agents import LlmAgent
from google.adk.apps import App
from google.adk.runners import Runner
from google.genai import types
from hypercorn.asyncio import serve
from hypercorn.config import Config
from restate.ext.adk import RestateSessionService, restate_context

from durable.adapters.google_adk import ParallelRestatePlugin
from durable.checked_input import checked_input
from durable.held_steps import hold_failures

MODEL = os.environ.get("GEMINI_MODEL", "gemini-2.5-flash")
INSTRUCTIONS = "You book trips. Call book_trip once for each city. Then say in one short paragraph what is reserved."
RETRIES: restate.RunOptions[Any] = restate.RunOptions(max_attempts=3, initial_retry_interval=timedelta(seconds=1))
"""A model call gets three attempts; then the request ends with an error."""


async def reserve(what: str, city: str, seconds: float) -> str:
    """A stand-in: put your own work here, such as a call of a service. Raise an error, and Restate tries it again."""
    print(f"reserving the {what}", flush=True)
    await asyncio.sleep(seconds)
    return f"{what} in {city}: reserved"


async def book_trip(city: str) -> list[str]:
    """Book a trip to a city: the flight, the hotel and a car."""
    ctx = restate_context()
    steps = await restate.gather(
        ctx.run_typed("flight", reserve, what="flight", city=city, seconds=0.1),
        ctx.run_typed("hotel", reserve, what="hotel", city=city, seconds=0.2),
        ctx.run_typed("car", reserve, what="car", city=city, seconds=1.5),
    )
    return [await step for step in steps]


agent = LlmAgent(name="MyAgent", model=MODEL, instruction=INSTRUCTIONS, tools=[book_trip])
app = App(name="trips", root_agent=agent, plugins=[ParallelRestatePlugin(run_options=RETRIES)])
runner = Runner(app=app, session_service=RestateSessionService())

service = restate.VirtualObject("MyAgent", invocation_context_managers=[hold_failures, checked_input(str)])


@service.handler()
async def run(ctx: restate.ObjectContext, request: str) -> str:
    """The key is the user: each has a session, which Restate keeps, and one request at a time."""
    message = types.Content(role="user", parts=[types.Part(text=request)])
    answer = ""
    async for event in runner.run_async(user_id=ctx.key(), session_id="trips", new_message=message):
        if event.is_final_response() and event.content and event.content.parts:
            answer = "".join(part.text or "" for part in event.content.parts)
    return answer


if __name__ == "__main__":
    config = Config()
    config.bind = [f"{os.environ.get('HOST', '127.0.0.1')}:{os.environ.get('PORT', '9080')}"]
    asyncio.run(serve(restate.app([service]), config))
