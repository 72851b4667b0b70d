"""The method of the benchmark: the sides take turns, block by block.

Other load on the machine then affects all sides. Each comparison is a ratio of neighbouring blocks, with the spread of
these ratios.
"""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Annotated

import psutil
from pydantic import AfterValidator, BaseModel
from rich.console import Console
from rich.progress import Progress

PARTS = (
    *("durability", "pieces", "settings", "least", "steps", "languages"),
    *("peers", "growth", "start", "tracing", "streaming"),
)
"""The parts of the benchmark, in the order of their measurement."""


@dataclass(frozen=True)
class Extent:
    """The extent of the measurements. The defaults are the benchmark's; a test measures less."""

    claims: int = 40
    """The least number of claims in a block; a block has two or more for each sender."""
    blocks: int = 5
    """The number of blocks of each side, and of repetitions where there are no sides."""
    concurrency: tuple[int, ...] = (1, 8, 32, 64)
    """The numbers of claims in flight at the same time, durable against plain."""
    against: tuple[int, ...] = (1, 8)
    """The same, against the peers."""
    steps: tuple[int, ...] = (3, 30, 100, 300, 1000)
    """The numbers of parallel steps in a fan-out."""
    payloads: tuple[int, ...] = (1_000, 10_000, 100_000, 1_000_000)
    """The sizes of a payload, in bytes."""
    turns: tuple[int, ...] = (10, 50, 100, 150, 200)
    """The turns at which a session's latency and size are taken."""


Rounded = Annotated[float, AfterValidator(lambda figure: round(figure, 3))]
"""A figure with three digits behind the point: more are noise, and would double docs/benchmark.json."""


class Block(BaseModel):
    """One block of claims by one side.

    `latencies` has the latency of each claim, in ms; `seconds` is the time from the first claim to the last answer.
    `agent_cpu` and `server_cpu` are CPU time in ms per claim; the server's is 0 for a plain agent.
    """

    latencies: list[Rounded]
    seconds: Rounded
    agent_cpu: Rounded
    server_cpu: Rounded


@dataclass(frozen=True)
class Side:
    """An agent to measure. `send` sends it one claim and waits; `agent` and `server` are process ids."""

    send: Callable[[], Awaitable[None]]
    agent: int
    server: int | None
    service: int | None = None
    """The process of a service that the agent calls; its CPU time is added to the agent's."""


WARM_UP = 10
"""The number of claims that each side is sent before it is measured."""


async def one_at_a_time(sides: Sequence[Side], extent: Extent, console: Console, title: str) -> list[list[Block]]:
    """The blocks of each side, after a warm-up, with one claim in flight; shows the progress under this title."""
    await warm_up(sides)
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task(title, total=extent.blocks)
        return await alternate(sides, extent, 1, lambda: progress.advance(bar))


async def warm_up(sides: Iterable[Side]) -> None:
    """Send `WARM_UP` claims to each side, one after the other."""
    for side in sides:
        await block(side, WARM_UP, 1)


async def alternate(
    sides: Sequence[Side], extent: Extent, concurrency: int, advance: Callable[[], None]
) -> list[list[Block]]:
    """The blocks of each side; the sides take turns. Calls `advance` after each round."""
    blocks: list[list[Block]] = [[] for _ in sides]
    turns = list(zip(sides, blocks, strict=True))
    for number in range(extent.blocks):
        # The order is turned round in every other round: otherwise a machine that slows down would favour one.
        for side, measured in turns if number % 2 == 0 else reversed(turns):
            measured.append(await block(side, max(extent.claims, 2 * concurrency), concurrency))
        advance()
    return blocks


async def block(side: Side, claims: int, concurrency: int) -> Block:
    """Send this many claims to one side, `concurrency` at a time."""
    agent, server = cpu_time(side.agent) + cpu_time(side.service), cpu_time(side.server)
    began = time.perf_counter()
    return Block(
        latencies=await latencies(side.send, claims, concurrency),
        seconds=time.perf_counter() - began,
        agent_cpu=(cpu_time(side.agent) + cpu_time(side.service) - agent) / claims,
        server_cpu=(cpu_time(side.server) - server) / claims,
    )


async def latencies(send: Callable[[], Awaitable[None]], claims: int, concurrency: int) -> list[float]:
    """Send this many claims, and return the latency of each, in ms.

    There are `concurrency` senders; each sends its next claim when its last one is decided.
    """
    measured: list[float] = []
    left = iter(range(claims))

    async def sender() -> None:
        for _ in left:
            sent = time.perf_counter()
            await send()
            measured.append((time.perf_counter() - sent) * 1000)

    async with asyncio.TaskGroup() as group:
        for _ in range(concurrency):
            group.create_task(sender())
    return measured


def cpu_time(pid: int | None) -> float:
    """The CPU time of a process and its children so far, in ms; 0 without a process."""
    if pid is None:
        return 0.0
    process = psutil.Process(pid)
    times = [one.cpu_times() for one in (process, *process.children(recursive=True))]
    return sum(time.user + time.system for time in times) * 1000


def p50(block: Block) -> float:
    """The median latency, in ms."""
    return statistics.median(block.latencies)


def p95(block: Block) -> float:
    """The 95th percentile of the latencies, in ms."""
    return statistics.quantiles(block.latencies, n=20)[-1]


def rate(block: Block) -> float:
    """Claims per second."""
    return len(block.latencies) / block.seconds


def cpu(block: Block) -> float:
    """The CPU time of agent and server, in ms per claim."""
    return block.agent_cpu + block.server_cpu


def agent_cpu_of(block: Block) -> float:
    return block.agent_cpu


def server_cpu_of(block: Block) -> float:
    return block.server_cpu


def ratios(over: Sequence[Block], under: Sequence[Block], of: Callable[[Block], float]) -> list[float]:
    """The ratio of this figure for each pair of neighbouring blocks."""
    return [of(one) / of(other) for one, other in zip(over, under, strict=True)]


def spread(values: Sequence[float]) -> str:
    """The median with the least and the greatest, such as `2.10 (1.90-2.30)`."""
    return f"{statistics.median(values):.2f} ({min(values):.2f}-{max(values):.2f})"


def median(blocks: Sequence[Block], of: Callable[[Block], float]) -> float:
    """The median of this figure over the blocks."""
    return statistics.median(map(of, blocks))
