"""A storm: claims of all frameworks at once, while their agents and the server are killed.

By hand: `STORM_CLAIMS=200 STORM_SEEDS=3 uv run pytest tests/conformance -k storm`. CI runs none: one takes minutes.
"""

import asyncio
import contextlib
import os
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TypeVar

import httpx

from tour.runtime.processes import POLL
from tour.runtime.stack import Stack

CLAIMS = int(os.environ.get("STORM_CLAIMS") or 35)
SEEDS = range(1, 1 + int(os.environ.get("STORM_SEEDS") or 0))
SECONDS = CLAIMS / 4
"""Seconds in which the claims are sent."""

T = TypeVar("T")


@contextlib.asynccontextmanager
async def storm(running: Stack, rng: random.Random) -> AsyncIterator[None]:
    """Kill the server or an agent every other second while claims are sent, and a little longer.

    The server restarts. In the calm that follows, the claims have time to end.
    """

    async def rage() -> None:
        end = time.monotonic() + SECONDS + 5
        while time.monotonic() < end:
            await asyncio.sleep(rng.uniform(0.5, 2))
            if rng.random() < 0.2:
                await running.restate.restart()
            else:
                await rng.choice([*running.agents.values()]).process.kill()

    async with asyncio.TaskGroup() as raging:
        raging.create_task(rage())
        yield


async def patiently(ask: Callable[[], Awaitable[T]]) -> T:
    """Restate's answer, once it is back."""
    while True:
        with contextlib.suppress(httpx.HTTPError):
            return await ask()
        await asyncio.sleep(POLL)
