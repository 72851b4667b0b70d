"""A service with any number of parallel steps, for `tour bench`; the agents' tool has three.

uv run python -m bench.growth_service
"""

import asyncio

import restate
from pydantic import BaseModel

import durable.quick_gather  # noqa: F401 - for hundreds of steps
from durable.held_steps import hold_failures
from shared.serving import serve, service_name


class Work(BaseModel):
    """A number of durable steps. Each takes `seconds`, and its result is `payload`."""

    steps: int
    seconds: float = 0.0
    payload: str = ""


async def work(given: Work) -> str:
    await asyncio.sleep(given.seconds)
    return given.payload


growth = restate.Service(service_name("Growth"), invocation_context_managers=[hold_failures])


@growth.handler()
async def run(ctx: restate.Context, given: Work) -> int:
    steps = [ctx.run_typed(f"step {n}", work, given=given) for n in range(given.steps)]
    return len([await step for step in await restate.gather(*steps)])


if __name__ == "__main__":
    serve(growth)
