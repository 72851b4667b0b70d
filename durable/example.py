"""Three steps in parallel: `car` fails twice while `hotel` is in flight, and Restate retries `car` alone.

uv run durable/example.py
"""

import asyncio
import itertools
import os

import restate
from hypercorn.asyncio import serve
from hypercorn.config import Config

from durable.held_steps import hold_failures

trip = restate.Service("Trip", invocation_context_managers=[hold_failures])
attempts = itertools.count(1)


async def reserve(what: str, seconds: float) -> str:
    print(f"reserving the {what}", flush=True)
    await asyncio.sleep(seconds)
    if what == "car" and next(attempts) < 3:
        raise RuntimeError("the car rental does not answer")
    return f"{what}: reserved"


@trip.handler()
async def book(ctx: restate.Context) -> list[str]:
    steps = await restate.gather(
        ctx.run_typed("flight", reserve, what="flight", seconds=0.1),
        ctx.run_typed("hotel", reserve, what="hotel", seconds=1.0),
        ctx.run_typed("car", reserve, what="car", seconds=0.2),
    )
    return [await step for step in steps]


if __name__ == "__main__":
    config = Config()
    config.bind = [f"127.0.0.1:{os.environ.get('PORT', '9080')}"]
    asyncio.run(serve(restate.app([trip]), config))
