"""An agent on its own loop with a selectable fault (`FAULT`), which breaks a promise that the judge tests.

Three steps call a service over HTTP, `WORLD`, through the environment's proxy.
"""

import asyncio
import os
import uuid
from typing import Any

import httpx
import restate
from hypercorn.asyncio import serve
from hypercorn.config import Config
from openai import AsyncOpenAI
from pydantic import BaseModel

from durable.held_steps import hold_failures
from shared.serving import terminal_errors

FAULT, WORLD = os.environ.get("FAULT", ""), os.environ["WORLD"]
model = AsyncOpenAI(max_retries=0)


class Trip(BaseModel):
    city: str


async def ask(prompt: str) -> str:
    said = await model.chat.completions.create(model="any", messages=[{"role": "user", "content": prompt}])
    return said.choices[0].message.content or ""


async def book(what: str) -> str:
    async with httpx.AsyncClient(timeout=20) as client:
        response = await client.post(f"{WORLD}/{what}", json={"what": what})
        return str(response.raise_for_status().json())


async def book_all(names: list[str]) -> str:
    return str([await book(name) for name in names])


guards: dict[str, list[Any]] = {"retried input": [hold_failures], "abandoned siblings": []}
trips = restate.Service("Trips", invocation_context_managers=guards.get(FAULT, [hold_failures, terminal_errors]))


@trips.handler()
async def run(ctx: restate.Context, trip: Trip) -> str:
    prompt = f"Plan a trip to {trip.city}."
    if FAULT == "process in the prompt":
        prompt += f" I am process {os.getpid()}."
    plan = await (ask(prompt) if FAULT == "no step" else ctx.run_typed("call LLM", ask, prompt=prompt))
    names = ["flight", "hotel", "car"]
    if FAULT == "random order":
        names.sort(key=lambda _: uuid.uuid4())
    if FAULT == "two effects":
        booked = [await ctx.run_typed("book all", book_all, names=names)]
    else:
        steps = [ctx.run_typed(name, book, what=name) for name in names]
        booked = [await step for step in await restate.gather(*steps)]
    return f"{plan} {sorted(booked)}"


if __name__ == "__main__":
    config = Config()
    config.bind = [f"127.0.0.1:{os.environ['PORT']}"]
    asyncio.run(serve(restate.app([trips]), config))
