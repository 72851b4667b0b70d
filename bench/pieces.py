"""The pieces of a durable invocation's latency: the invocation itself, its steps, and the waits for the disk."""

from contextlib import AsyncExitStack
from pathlib import Path

from pydantic import BaseModel
from rich.console import Console

from bench.growth import LOOP, SERVICE, timed
from bench.measuring import Block, Extent, Side, one_at_a_time
from tour.runtime import stack
from tour.runtime.stack import Stack

STEPS = (0, 1, 3)
"""Parallel steps of an invocation: none, one, and as many as a claim has checks."""

UNSYNCED = {"RESTATE_BIFROST__LOCAL__ROCKSDB_DISABLE_WAL_FSYNC": "true"}
"""The variables of a server that does not wait for the disk: for this measurement only, as it can lose entries."""


class Piece(BaseModel):
    """Invocations with this number of parallel steps that take no time, one at a time: the blocks of both servers."""

    steps: int
    synced: list[Block]
    unsynced: list[Block]


async def pieces(folder: Path, extent: Extent, console: Console) -> list[Piece]:
    """Measure all in turns. Raises: TourError."""
    async with AsyncExitStack() as exits:
        servers = [
            await exits.enter_async_context(
                stack.running(folder / name, frameworks=[LOOP], pattern=SERVICE, server_env=env)
            )
            for name, env in (("synced", {}), ("unsynced", UNSYNCED))
        ]
        sides = [side_of(running, steps) for steps in STEPS for running in servers]
        blocks = await one_at_a_time(sides, extent, console, "Pieces of an invocation")
    return [
        Piece(steps=steps, synced=synced, unsynced=unsynced)
        for steps, synced, unsynced in zip(STEPS, blocks[::2], blocks[1::2], strict=True)
    ]


def side_of(running: Stack, steps: int) -> Side:
    """Invocations with this number of steps on this server."""

    async def send() -> None:
        await timed(running, steps=steps)

    assert running.restate.process
    return Side(send, running.agents[LOOP.name].process.pid, running.restate.process.pid)
