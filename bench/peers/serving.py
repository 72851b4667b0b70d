"""The store of a peer, and one run for each id."""

import asyncio
import os
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from shared.claims import InsuranceClaim

Run: TypeAlias = Callable[[str, InsuranceClaim], Coroutine[Any, Any, str]]


def store() -> str:
    """The address of the peer's store: `PEER_STORE`, such as `sqlite:////tmp/peer.db` or `postgresql://…`."""
    return os.environ["PEER_STORE"]


def once(run: Run) -> Run:
    """`run` for a peer that would run the same id twice at once: here, the second caller waits for the first one's run.

    A caller that disconnects does not end the run.
    """
    running: dict[str, asyncio.Task[str]] = {}

    async def run_once(id: str, claim: InsuranceClaim) -> str:
        if id not in running:
            running[id] = asyncio.create_task(run(id, claim))
            running[id].add_done_callback(lambda _: running.pop(id))
        return await asyncio.shield(running[id])

    return run_once
