"""How a figure of the benchmark comes about: two sides take turns, block by block.

What else the machine does hits both; a figure that is compared is the ratio of neighbouring blocks, and its spread is
that of these ratios.
"""

import asyncio
import itertools
import statistics
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import psutil
from pydantic import BaseModel

PARTS = ("durability", "peers", "growth", "start")
"""The parts of the benchmark, in the order in which they are measured."""


@dataclass(frozen=True)
class Extent:
    """How much is measured; the defaults are the benchmark, a test takes less."""

    claims: int = 40
    """In each block, at least."""
    blocks: int = 5
    concurrency: tuple[int, ...] = (1, 8, 32, 64)
    against: tuple[int, ...] = (1, 8)
    """How many claims at a time the peers are sent."""
    steps: tuple[int, ...] = (3, 30, 100, 300, 1000)
    payloads: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    """In bytes."""
    turns: tuple[int, ...] = (10, 50, 100, 150, 200)
    """Of a session."""


class Block(BaseModel):
    """One block of claims by one side: each claim's latency, and the CPU time of the processes, in ms; seconds in all.

    `agent_cpu` and `server_cpu` are per claim; the server's is 0 for a plain agent.
    """

    latencies: list[float]
    seconds: float
    agent_cpu: float
    server_cpu: float


@dataclass(frozen=True)
class Side:
    """An agent to measure: what sends it one claim, and the processes whose CPU time is its own and the server's."""

    send: Callable[[], Awaitable[None]]
    agent: int
    server: int | None


async def alternate(
    one: Side, other: Side, extent: Extent, concurrency: int, advance: Callable[[], None]
) -> tuple[list[Block], list[Block]]:
    """The blocks of both sides, which take turns."""
    blocks: tuple[list[Block], list[Block]] = ([], [])
    turns = list(zip((one, other), blocks, strict=True))
    for number in range(extent.blocks):
        # Each goes first as often as the other, or a machine that slows down would favour one.
        for side, measured in turns if number % 2 == 0 else reversed(turns):
            measured.append(await block(side, max(extent.claims, 2 * concurrency), concurrency))
        advance()
    return blocks


async def block(side: Side, claims: int, concurrency: int) -> Block:
    """Send so many claims, `concurrency` at a time: each sender sends its next one when the last is decided."""
    latencies: list[float] = []
    left = itertools.count()
    agent, server = cpu_time(side.agent), cpu_time(side.server)
    began = time.perf_counter()

    async def sender() -> None:
        while next(left) < claims:
            sent = time.perf_counter()
            await side.send()
            latencies.append((time.perf_counter() - sent) * 1000)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(sender())
    return Block(
        latencies=latencies,
        seconds=time.perf_counter() - began,
        agent_cpu=(cpu_time(side.agent) - agent) / claims,
        server_cpu=(cpu_time(side.server) - server) / claims,
    )


def cpu_time(pid: int | None) -> float:
    """CPU time that a process and its children have had, in ms."""
    if pid is None:
        return 0.0
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times) * 1000


def p50(block: Block) -> float:
    return statistics.median(block.latencies)


def p95(block: Block) -> float:
    return statistics.quantiles(block.latencies, n=20)[-1]


def rate(block: Block) -> float:
    """Claims per second."""
    return len(block.latencies) / block.seconds


def cpu(block: Block) -> float:
    return block.agent_cpu + block.server_cpu


def agent_cpu_of(block: Block) -> float:
    return block.agent_cpu


def server_cpu_of(block: Block) -> float:
    return block.server_cpu


def spread(ratios: Sequence[float]) -> str:
    """The median with the least and the most, such as `2.1 (1.9-2.3)`."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def median(blocks: Sequence[Block], of: Callable[[Block], float]) -> float:
    return statistics.median(map(of, blocks))
