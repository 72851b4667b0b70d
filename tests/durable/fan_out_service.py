"""The service that test_fan_out.py tries: a job of steps, gathered with `FanOut` or with plain `restate.gather`."""

import asyncio
from collections.abc import Callable
from typing import Any

import restate
from pydantic import BaseModel

from durable.fan_out import FanOut
from lab.observed import observed
from shared.serving import serve


class Job(BaseModel):
    id: str
    steps: list[str]
    """Their names; one that begins with `sync` is a plain function. How long each takes, and how it fails: the lab."""
    plain: bool = False
    """Gather with `restate.gather` alone."""
    replays: bool = False
    """Run the observed step `afterwards` when all is gathered, so that a failure of it replays the whole fan-out."""


service = restate.Service("Job")


def action(name: str, job: Job) -> Callable[[], Any]:
    @observed(name)
    async def work(id: str) -> str:
        return name

    async def waits() -> str:
        return await work(job.id)

    def blocks() -> str:
        return asyncio.run(waits())

    return blocks if name.startswith("sync") else waits


@service.handler()
async def run(ctx: restate.Context, job: Job) -> list[str]:
    if job.plain:
        futures = [ctx.run_typed(name, action(name, job)) for name in job.steps]
        results = [await future for future in await restate.gather(*futures)]
    else:
        fan_out = FanOut()
        futures = [ctx.run_typed(name, fan_out.step(action(name, job))) for name in job.steps]
        results = await fan_out.gather(*futures)
    if job.replays:
        await ctx.run_typed("afterwards", action("afterwards", job))
    return results


@service.handler()
async def forgets_a_step(ctx: restate.Context, job: Job) -> list[str]:
    fan_out = FanOut()
    futures = [ctx.run_typed(name, fan_out.step(action(name, job))) for name in job.steps]
    return await fan_out.gather(*futures[1:])


if __name__ == "__main__":
    serve(service)
