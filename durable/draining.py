"""A process that is told to end lets its model calls in flight finish first, because they are paid for.

    await MODEL_CALLS_IN_FLIGHT.drained()

`held_steps` counts the calls: each is in flight until its answer is in the journal, or its attempt is over.
"""

import asyncio
from collections.abc import Hashable


class InFlight:
    """The calls that this process has begun and not ended."""

    def __init__(self) -> None:
        self.draining = False
        """Whether new calls are held back."""
        self._open = set[Hashable]()
        self._ended = asyncio.Event()

    async def begin(self, call: Hashable) -> None:
        """Count a call. While the process drains, this never returns: the next process makes the call."""
        if self.draining:
            await asyncio.Event().wait()
        self._open.add(call)

    def end(self, *calls: Hashable) -> None:
        """Stop counting these calls, even if they have never begun."""
        self._open.difference_update(calls)
        self._ended.set()

    async def drained(self) -> None:
        """Hold back new calls, and wait until none is in flight."""
        self.draining = True
        while self._open:
            self._ended.clear()
            await self._ended.wait()


MODEL_CALLS_IN_FLIGHT = InFlight()
