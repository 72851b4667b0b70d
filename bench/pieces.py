"""The pieces of a durable invocation: the invocation itself, its steps, the waits for the disk, and the server's part.

The server's own metrics give the time of each hop, and the kernel the CPU time of each thread.
"""

import re
import sys
from collections.abc import Mapping
from contextlib import AsyncExitStack
from pathlib import Path

import psutil
from pydantic import BaseModel
from rich.console import Console

from bench.growth import LOOP, SERVICE, timed
from bench.measuring import Block, Extent, Rounded, Side, one_at_a_time
from tour.runtime import stack
from tour.runtime.stack import Stack

STEPS = (0, 1, 3)
"""Parallel steps of an invocation: none, one, and as many as a claim has checks."""

UNSYNCED = {"RESTATE_BIFROST__LOCAL__ROCKSDB_DISABLE_WAL_FSYNC": "true"}
"""The variables of a server that does not wait for the disk: for this measurement only, as it can lose entries."""


HOPS: Mapping[str, str] = {
    "the request at the ingress, in all": "ingress_request_duration_seconds",
    "the attempt: the invoker, HTTP/2, the SDK and the handler": "invoker_task_duration_seconds",
    "a batch is appended to the log": "bifrost_localloglet_append_duration_seconds",
    "of this, the disk is synced": "rocksdb_wal_file_sync_seconds",
    "the partition reads what the log has": "partition_record_committed_to_read_latency_seconds",
    "the partition applies it": "partition_apply_command_duration_seconds",
}
"""The hops of an invocation in the server, each with the metric of its duration. They overlap."""


class Hop(BaseModel):
    """How often an invocation passes a hop, and how long that takes in all, in ms: means over the blocks."""

    times: Rounded
    ms: Rounded


class Thread(BaseModel):
    """The CPU time of the server's threads of this kind, in ms for each invocation: the program's and the kernel's."""

    user: Rounded
    kernel: Rounded


THREADS = {
    "rt:pp": "the partition: log, state, invoker, HTTP/2 to the agent",
    "rs:worker": "the workers: ingress",
}
"""The kinds of threads, by the beginnings of their names; all others are one kind."""

OTHERS = "all others"


class Piece(BaseModel):
    """Invocations with this number of parallel steps that take no time, one at a time: the blocks of both servers.

    `hops` (those of `HOPS`) and `threads` (those of `THREADS`; none but on Linux) are of further invocations on the
    usual server.
    """

    steps: int
    synced: list[Block]
    unsynced: list[Block]
    hops: dict[str, Hop]
    threads: dict[str, Thread]


async def pieces(folder: Path, extent: Extent, console: Console) -> list[Piece]:
    """Measure all in turns, and then the hops. Raises: TourError."""
    async with AsyncExitStack() as exits:
        servers = [
            await exits.enter_async_context(
                stack.running(folder / name, frameworks=[LOOP], pattern=SERVICE, server_env=env)
            )
            for name, env in (("synced", {}), ("unsynced", UNSYNCED))
        ]
        sides = [side_of(running, steps) for steps in STEPS for running in servers]
        blocks = await one_at_a_time(sides, extent, console, "Pieces of an invocation")
        inside = [await _inside(servers[0], steps, extent) for steps in STEPS]
    return [
        Piece(steps=steps, synced=synced, unsynced=unsynced, hops=hops, threads=threads)
        for steps, synced, unsynced, (hops, threads) in zip(STEPS, blocks[::2], blocks[1::2], inside, strict=True)
    ]


def side_of(running: Stack, steps: int) -> Side:
    """Invocations with this number of steps on this server."""

    async def send() -> None:
        await timed(running, steps=steps)

    assert running.restate.process
    return Side(send, running.agents[LOOP.name].process.pid, running.restate.process.pid)


async def _inside(running: Stack, steps: int, extent: Extent) -> tuple[dict[str, Hop], dict[str, Thread]]:
    assert running.restate.process
    server, sent = running.restate.process.pid, extent.blocks * extent.claims
    passed, used = await _passed(running), _threads(server)
    for _ in range(sent):
        await timed(running, steps=steps)
    hops, threads = _means(passed, await _passed(running), sent), _means(used, _threads(server), sent)
    return (
        {hop: Hop(times=times, ms=1000 * seconds) for hop, (times, seconds) in hops.items()},
        {kind: Thread(user=1000 * user, kernel=1000 * kernel) for kind, (user, kernel) in threads.items()},
    )


Sums = dict[str, tuple[float, float]]


def _means(before: Sums, after: Sums, sent: int) -> Sums:
    return {name: ((after[name][0] - one) / sent, (after[name][1] - two) / sent) for name, (one, two) in before.items()}


async def _passed(running: Stack) -> Sums:
    """How often each hop was passed since the server's start, and the seconds that this took."""
    metrics = (await running.ingress.get(running.restate.metrics)).raise_for_status().text

    def total(metric: str, kind: str) -> float:
        lines = re.findall(rf"^restate_{metric}_{kind}\b.* (\S+)$", metrics, re.MULTILINE)
        return sum(float(value) for value in lines)

    return {hop: (total(metric, "count"), total(metric, "sum")) for hop, metric in HOPS.items()}


def _threads(server: int) -> Sums:
    """The CPU time of each kind of the server's threads since its start, in seconds: the program's and the kernel's."""
    if sys.platform != "linux":
        return {}
    used = dict.fromkeys([*THREADS.values(), OTHERS], (0.0, 0.0))
    for thread in psutil.Process(server).threads():
        name = Path(f"/proc/{server}/task/{thread.id}/comm").read_text()
        kind = next((kind for begin, kind in THREADS.items() if name.startswith(begin)), OTHERS)
        user, kernel = used[kind]
        used[kind] = (user + thread.user_time, kernel + thread.system_time)
    return used
