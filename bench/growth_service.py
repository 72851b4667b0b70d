"""The service whose growth `tour bench` measures: so many parallel steps, by `FanOut`, as the agents' tool has three.

uv run python -m bench.growth_service
"""

import asyncio

import restate
from pydantic import BaseModel

from durable.fan_out import FanOut
from shared.serving import serve, service_name


class Work(BaseModel):
    """`steps` durable steps, each of which takes `seconds` and has `payload` as its result."""

    steps: int
    seconds: float = 0.0
    payload: str = ""


async def work(given: Work) -> str:
    await asyncio.sleep(given.seconds)
    return given.payload


growth = restate.Service(service_name("Growth"))


@growth.handler()
async def run(ctx: restate.Context, given: Work) -> int:
    fan_out = FanOut()
    steps = [ctx.run_typed(f"step {n}", fan_out.step(work), given=given) for n in range(given.steps)]
    return len(await fan_out.gather(*steps))


if __name__ == "__main__":
    serve(growth)
