"""A process that is to end lets its model calls in flight end first, for they are paid.

    await MODEL_CALLS_IN_FLIGHT.drained()

`held_steps` counts them: a call is in flight until its answer is in Restate's journal, or its attempt is over.
"""

import asyncio
from collections.abc import Hashable


class InFlight:
    """What this process has begun and not ended."""

    def __init__(self) -> None:
        self.draining = False
        """Whether nothing begins any more."""
        self._open = set[Hashable]()
        self._ended = asyncio.Event()

    async def begin(self, call: Hashable) -> None:
        """Count a call. While the process drains this never returns: the process that follows makes the call."""
        if self.draining:
            await asyncio.Event().wait()
        self._open.add(call)

    def end(self, *calls: Hashable) -> None:
        """They have ended, or have never begun."""
        self._open.difference_update(calls)
        self._ended.set()

    async def drained(self) -> None:
        """Let nothing begin any more, and wait until nothing is in flight."""
        self.draining = True
        while self._open:
            self._ended.clear()
            await self._ended.wait()


MODEL_CALLS_IN_FLIGHT = InFlight()
