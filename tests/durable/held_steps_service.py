"""The services of test_held_steps.py: the same job of steps, with `hold_failures` and without."""

import asyncio
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Literal

import restate
from pydantic import BaseModel

from durable.held_steps import hold_failures
from lab.observed import observed
from shared.serving import serve


class Job(BaseModel):
    id: str
    steps: list[str]
    """The names of the steps; one that begins with `sync` is a plain function. The lab plans delays and failures."""
    how: Literal["gather", "forget", "select", "raise"] = "gather"
    """`forget`: the first step is created, but not awaited. `select`: await the first to end, then the others.
    `raise`: leave the first step in flight, and raise the lab's error for `body`."""
    afterwards: bool = False
    """Run the observed step `afterwards` at the end, so that its failure replays everything before."""


held = restate.Service("Job", invocation_context_managers=[hold_failures])
plain = restate.Service("Plain")


def action(name: str, job: Job) -> Callable[[], Any]:
    @observed(name)
    async def work(id: str) -> str:
        return name

    async def waits() -> str:
        return await work(job.id)

    def blocks() -> str:
        return asyncio.run(waits())

    async def cannot_be_written() -> Any:
        return object() if await work(job.id) else None

    async def cannot_be_told() -> str:
        raise RuntimeError(f"half an emoji: \ud83d of {await work(job.id)}")

    odd = {"object": cannot_be_written, "emoji": cannot_be_told}
    return blocks if name.startswith("sync") else odd.get(name, waits)


@plain.handler("run")
@held.handler("run")
async def run(ctx: restate.Context, job: Job) -> list[str]:
    futures = [ctx.run_typed(name, action(name, job)) for name in job.steps]
    match job.how:
        case "gather":
            results = [await future for future in await restate.gather(*futures)]
        case "forget":
            results = [await future for future in await restate.gather(*futures[1:])]
        case "select":
            first, _ = await restate.select(**dict(zip(job.steps, futures, strict=True)))
            results = [first, *[await future for future in futures]]
        case "raise":
            await restate.select(step=futures[0], timer=ctx.sleep(timedelta(seconds=0.2)))
            results = [await action("body", job)(), *[await future for future in futures]]
    if job.afterwards:
        await ctx.run_typed("afterwards", action("afterwards", job))
    return results


if __name__ == "__main__":
    serve(held, plain)
