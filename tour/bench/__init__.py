"""What durability costs: the same agent plain and on Restate, in one run on one machine; and how a fan-out grows.

The two take turns block by block, so that what else the machine does hits both; a figure that is compared is the ratio
of neighbouring blocks, and its spread is that of these ratios. The raw figures are kept.
"""

import asyncio
import itertools
import math
import statistics
import sys
import time
import uuid
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
from pydantic import BaseModel
from rich import box
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

from shared.claims import sample_claims
from tour import processes, stack
from tour.errors import TourError
from tour.frameworks import FRAMEWORKS, ROOT, Framework, Pattern
from tour.processes import free_port
from tour.report import Machine, machine, versions
from tour.stack import Stack

BLOCKS = 5
STEPS = (3, 30, 100, 300, 1000)
STEP = 0.1
"""Seconds that each step of the growth takes in one half of its runs; in the other half it takes none."""

CONCURRENCY = (1, 8, 32, 64)
WARM_UP = 10
PLAIN = "plain_agent.py"


class Block(BaseModel):
    """One block of claims by one side: each claim's latency, and the CPU time of the processes, in ms; seconds in all.

    `agent_cpu` and `server_cpu` are per claim; the server's is 0 for a plain agent.
    """

    latencies: list[float]
    seconds: float
    agent_cpu: float
    server_cpu: float


class Cost(BaseModel):
    """What was measured of one framework at one concurrency: the blocks of both sides, in the order made."""

    framework: str
    title: str
    concurrency: int
    durable: list[Block]
    plain: list[Block]

    def ratios(self, of: Callable[[Block], float]) -> list[float]:
        """Durable over plain, for each pair of neighbouring blocks."""
        return [of(durable) / of(plain) for durable, plain in zip(self.durable, self.plain, strict=True)]


class Growth(BaseModel):
    """Invocations of so many parallel steps: the latencies, in ms, with steps of no time and with steps of `STEP`."""

    steps: int
    instant: list[float]
    slow: list[float]


class Bench(BaseModel):
    """A whole run."""

    machine: Machine
    versions: dict[str, str]
    costs: list[Cost]
    growth: list[Growth]


@dataclass(frozen=True)
class Side:
    """An agent to measure: what sends it one claim, and the processes whose CPU time is its own and the server's."""

    send: Callable[[], Awaitable[None]]
    agent: int
    server: int | None


async def measure(folder: Path, frameworks: Sequence[Framework], claims: int, console: Console) -> Bench:
    """Measure what durability costs each framework, and how a fan-out grows. Raises: TourError."""
    return Bench(
        machine=machine(),
        versions=versions(),
        costs=await durability(folder, frameworks, claims, console),
        growth=await growth(folder / "growth", console),
    )


async def growth(folder: Path, console: Console) -> list[Growth]:
    """Measure invocations of `STEPS` parallel steps, as often as there are blocks. Raises: TourError."""
    pattern = Pattern("growth", "growth", str(ROOT / "tour" / "growth_service.py"), "Growth")
    framework = FRAMEWORKS[-1]
    measured = [Growth(steps=steps, instant=[], slow=[]) for steps in STEPS]
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("Growth of a fan-out", total=len(STEPS) * BLOCKS)
        async with stack.running(folder, frameworks=[framework], pattern=pattern) as running:
            for _ in range(BLOCKS):
                for point in measured:
                    for seconds, latencies in ((0.0, point.instant), (STEP, point.slow)):
                        sent = time.perf_counter()
                        response = await running.ingress.post(
                            f"/restate/call/{framework.path(pattern=pattern)}",
                            json={"steps": point.steps, "seconds": seconds},
                        )
                        latencies.append((time.perf_counter() - sent) * 1000)
                        if response.text != str(point.steps):
                            raise TourError(f"{point.steps} steps: {response.text}", "Its journal may be too large.")
                    progress.advance(bar)
    return measured


def exponents(measured: Sequence[Growth]) -> list[float]:
    """From each number of steps to the next, with which power of it the time grows: 1 is linear."""
    return [
        math.log(statistics.median(more.instant) / statistics.median(less.instant)) / math.log(more.steps / less.steps)
        for less, more in itertools.pairwise(measured)
    ]


async def durability(folder: Path, frameworks: Sequence[Framework], claims: int, console: Console) -> list[Cost]:
    """Measure each framework by itself, at each concurrency: blocks of at least `claims` claims.

    The offline model answers at once and the checks take no time, so that nothing hides what durability adds.
    Raises: TourError when an agent cannot be started, or a claim is not decided.
    """
    costs: list[Cost] = []
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("", total=len(frameworks) * len(CONCURRENCY) * BLOCKS)
        for framework in frameworks:  # one at a time: five agents that idle still take memory, and a core now and then
            home = folder / framework.name
            async with stack.running(home, frameworks=[framework]) as running, AsyncExitStack() as exits:
                sides = (_durable(running, framework), await _plain(running, framework, exits, home))
                for side in sides:
                    await _block(side, WARM_UP, 1)
                for concurrency in CONCURRENCY:
                    progress.update(bar, description=f"{framework.title}, {concurrency} at a time")
                    cost = Cost(
                        framework=framework.name, title=framework.title, concurrency=concurrency, durable=[], plain=[]
                    )
                    for number in range(BLOCKS):
                        # Each goes first as often as the other, or a machine that slows down would favour one.
                        turns = [(sides[0], cost.durable), (sides[1], cost.plain)]
                        for side, blocks in turns if number % 2 == 0 else reversed(turns):
                            blocks.append(await _block(side, max(claims, 2 * concurrency), concurrency))
                        progress.advance(bar)
                    costs.append(cost)
    return costs


def _durable(running: Stack, framework: Framework) -> Side:
    claim = sample_claims()["broken-leg"]

    async def send() -> None:
        key = uuid.uuid4().hex  # a Virtual Object takes one claim of a key at a time
        response = await running.ingress.post(
            f"/restate/call/{framework.path(key)}", json=framework.body(claim, session=key)
        )
        _decided(response)

    server = running.restate.process
    return Side(send, running.agents[framework.name].process.pid, server.pid if server else None)


async def _plain(running: Stack, framework: Framework, exits: AsyncExitStack, folder: Path) -> Side:
    claim = sample_claims()["broken-leg"]
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command: list[str | Path] = [sys.executable, ROOT / framework.name / PLAIN]
    env = running.env(f"{framework.prefix()}.plain") | {"PORT": str(port), "HOST": "127.0.0.1"}
    process = await exits.enter_async_context(
        processes.running("The agent without Restate", command, folder / "plain.log", env)
    )
    await process.until(f"{url}/health")
    client = await exits.enter_async_context(
        httpx.AsyncClient(base_url=url, timeout=None, limits=httpx.Limits(max_connections=None))
    )

    async def send() -> None:
        _decided(await client.post("/run", json=framework.body(claim, session=uuid.uuid4().hex)))

    return Side(send, process.pid, None)


def _decided(response: httpx.Response) -> None:
    if response.status_code != 200 or not response.json().startswith("Approved:"):
        raise TourError(f"A claim was not decided: {response.status_code} {response.text}", "Try `uv run tour` first.")


async def _block(side: Side, claims: int, concurrency: int) -> Block:
    """Send so many claims, `concurrency` at a time: each sender sends its next one when the last is decided."""
    latencies: list[float] = []
    left = itertools.count()
    agent, server = _cpu(side.agent), _cpu(side.server)
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
        agent_cpu=(_cpu(side.agent) - agent) / claims,
        server_cpu=(_cpu(side.server) - server) / claims,
    )


def _cpu(pid: int | None) -> float:
    """CPU time that a process has had, in ms."""
    if pid is None:
        return 0.0
    times = psutil.Process(pid).cpu_times()
    return (times.user + times.system) * 1000


def p50(block: Block) -> float:
    return statistics.median(block.latencies)


def p95(block: Block) -> float:
    return statistics.quantiles(block.latencies, n=20)[-1]


def rate(block: Block) -> float:
    """Claims per second."""
    return len(block.latencies) / block.seconds


def cpu(block: Block) -> float:
    return block.agent_cpu + block.server_cpu


def _agent_cpu(block: Block) -> float:
    return block.agent_cpu


def _server_cpu(block: Block) -> float:
    return block.server_cpu


def tables(bench: Bench) -> Iterator[Table]:
    """What was measured, in tables that fit 80 columns; a ratio is durable over plain, with its least and most."""
    alone = [cost for cost in bench.costs if cost.concurrency == 1]
    yield _table(
        "one claim at a time: latency in ms, p50 and p95",
        ("plain", "durable", "ratio of p50"),
        {
            cost.title: [
                *(f"{_median(blocks, p50):.1f}, {_median(blocks, p95):.1f}" for blocks in (cost.plain, cost.durable)),
                spread(cost.ratios(p50)),
            ]
            for cost in alone
        },
    )
    yield _table(
        "one claim at a time: CPU time in ms",
        ("plain", "durable: agent + server", "ratio"),
        {
            cost.title: [
                f"{_median(cost.plain, cpu):.1f}",
                " + ".join(f"{_median(cost.durable, of):.1f}" for of in (_agent_cpu, _server_cpu)),
                spread(cost.ratios(cpu)),
            ]
            for cost in alone
        },
    )
    yield _table(
        "claims per second: plain, durable, ratio",
        [f"{concurrency} at a time" for concurrency in CONCURRENCY],
        {
            title: [
                f"{_median(cost.plain, rate):.0f}, {_median(cost.durable, rate):.0f}, "
                f"{statistics.median(cost.ratios(rate)):.2f}"
                for cost in costs
            ]
            for title, costs in itertools.groupby(bench.costs, key=lambda cost: cost.title)
        },
    )
    yield _table(
        f"a fan-out of so many steps, in ms: of no time, and of {STEP:g} s; the exponent from the line above",
        ("instant", f"of {STEP:g} s", f"over {STEP:g} s", "exponent"),
        {
            str(point.steps): [
                f"{statistics.median(point.instant):.0f}",
                f"{statistics.median(point.slow):.0f}",
                spread([latency / STEP / 1000 for latency in point.slow]),
                "" if exponent is None else f"{exponent:.2f}",
            ]
            for point, exponent in zip(bench.growth, [None, *exponents(bench.growth)], strict=True)
        },
        rows_are="steps",
    )


def _table(title: str, columns: Iterable[str], rows: Mapping[str, Sequence[str]], rows_are: str = "framework") -> Table:
    shown = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", padding=0, collapse_padding=True)
    shown.add_column(rows_are, no_wrap=True)
    for column in columns:
        shown.add_column(column, justify="right", no_wrap=True)
    for name, row in rows.items():
        shown.add_row(name, *row)
    return shown


def plot(bench: Bench, file: Path) -> None:
    """Draw the ratios of each block, the throughput, and the growth; the file's name says the format."""
    import matplotlib.pyplot as plt  # it takes half a second to import

    titles = list(dict.fromkeys(cost.title for cost in bench.costs))
    figure, (left, right, third) = plt.subplots(1, 3, figsize=(16, 4.5), layout="constrained")
    for row, title in enumerate(titles):
        costs = [cost for cost in bench.costs if cost.title == title]
        ratios = costs[0].ratios(p50)
        left.plot(ratios, [row] * len(ratios), "o", color=f"C{row}", alpha=0.5)
        left.plot(statistics.median(ratios), row, "|", color=f"C{row}", markersize=24)
        for blocks, style in (("durable", "-"), ("plain", ":")):
            rates = [_median(getattr(cost, blocks), rate) for cost in costs]
            right.plot([cost.concurrency for cost in costs], rates, style, color=f"C{row}", label=f"{title}, {blocks}")
    left.set(yticks=range(len(titles)), yticklabels=titles, title="p50, durable over plain, one claim at a time")
    left.axvline(1, color="grey", linewidth=0.5)
    left.invert_yaxis()
    right.set(xscale="log", xticks=CONCURRENCY, xticklabels=CONCURRENCY, xlabel="claims at a time", ylim=(0, None))
    right.set(title="claims per second")
    right.legend(fontsize="x-small")
    steps = [point.steps for point in bench.growth]
    for label, style, times in (
        ("instant", "o-", [statistics.median(point.instant) for point in bench.growth]),
        (f"of {STEP:g} s", "s-", [statistics.median(point.slow) for point in bench.growth]),
    ):
        third.plot(steps, times, style, label=label)
    third.set(xscale="log", yscale="log", xticks=steps, xticklabels=steps, xlabel="parallel steps", title="ms")
    third.legend(fontsize="x-small")
    figure.savefig(file)
    plt.close(figure)


def spread(ratios: Sequence[float]) -> str:
    """The median with the least and the most, such as `2.1 (1.9-2.3)`."""
    return f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})"


def _median(blocks: Sequence[Block], of: Callable[[Block], float]) -> float:
    return statistics.median(map(of, blocks))
