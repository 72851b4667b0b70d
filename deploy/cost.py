"""What a claim costs on one node of Restate, and on a cluster that keeps everything twice.

uv run --group deploy python -m deploy.cost

CPU is that of the processes, less what they use when nothing is to be done; so what else this machine does hardly
matters to it. It does to the times.
"""

import asyncio
import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import httpx
import psutil
import typer
from rich.console import Console

from bench.measuring import cpu_time
from deploy import cluster as deploy
from deploy.cluster import REMOTE_CHECKS, Cluster
from shared.claims import sample_claims
from tour.runtime import journal, processes
from tour.runtime.frameworks import FAN_OUT, Framework, Pattern
from tour.runtime.processes import Process, free_port
from tour.runtime.run import command_line, until_done
from tour.tables import FittedTable

IDLE = 5.0
"""Seconds in which the CPU of idle processes is measured."""

AT_ONCE = 8
LATENCY = 10.0
"""Seconds that the model takes to answer while open claims are counted."""


@dataclass(frozen=True)
class Cost:
    """Of one claim. CPU in ms, of all processes of a kind together; times in s; sizes in bytes."""

    restate: float
    agent: float
    checks: float
    envoy: float
    alone: float
    """How long a claim takes when it is the only one (median)."""
    disk: float
    """By how much the data folders of all nodes grow together. That is their logs: the tables are still in memory."""
    written: float
    """What all nodes write to the disk, in its blocks."""
    journal: float
    idle: float
    """Cores that Restate uses when nothing is to be done."""
    memory: float
    """Of all nodes of Restate together, at the end."""


def parts(cluster: Cluster) -> dict[str, list[Process]]:
    return {
        "restate": [node.process for node in cluster.nodes],
        "agent": [agent.process for agent in cluster.agents],
        "checks": [checks.process for checks in cluster.checks],
        "envoy": [cluster.envoy],
    }


def cpu(running: Sequence[Process]) -> float:
    """Seconds of CPU that the processes have used so far."""
    return sum(cpu_time(process.pid) for process in running) / 1000


def memory(running: Sequence[Process]) -> int:
    """Resident bytes of the processes."""
    return sum(psutil.Process(process.pid).memory_info().rss for process in running)


def size(folder: Path) -> int:
    """Bytes in the files of a folder. (The blocks that they take are taken in advance, many at once.)"""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def written(running: Sequence[Process]) -> int:
    """Bytes that the processes have written to the disk so far; 0 where the system does not tell (macOS)."""
    if sys.platform != "linux":
        return 0
    return sum(psutil.Process(process.pid).io_counters().write_bytes for process in running)


async def send(cluster: Cluster, numbers: Iterator[int], claims: int, at_once: int) -> list[float]:
    """Send so many claims; returns how long each took (s)."""
    waits, claim = list[float](), sample_claims()["broken-leg"]
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(timeout=None, limits=limits) as client, asyncio.TaskGroup() as group:
        left = iter(range(claims))

        async def sender() -> None:
            for _ in left:
                key, began = f"user-{next(numbers)}", time.monotonic()
                response = await client.post(cluster.call(key), json=cluster.framework.body(claim))
                response.raise_for_status()
                waits.append(time.monotonic() - began)

        for _ in range(at_once):
            group.create_task(sender())
    return waits


async def measure(cluster: Cluster, claims: int) -> Cost:
    """Warm up, look at the idle processes, and send the claims."""
    numbers, kinds = itertools.count(), parts(cluster)
    await send(cluster, numbers, AT_ONCE * 5, AT_ONCE)
    before, began = {kind: cpu(each) for kind, each in kinds.items()}, time.monotonic()
    await asyncio.sleep(IDLE)
    idle = {kind: (cpu(each) - before[kind]) / (time.monotonic() - began) for kind, each in kinds.items()}
    data = cluster.folder / "restate"
    disk, wrote = size(data), written(kinds["restate"])
    before, began = {kind: cpu(each) for kind, each in kinds.items()}, time.monotonic()
    await send(cluster, numbers, claims, AT_ONCE)
    seconds = time.monotonic() - began
    used = {kind: 1000 * (cpu(each) - before[kind] - idle[kind] * seconds) / claims for kind, each in kinds.items()}
    grown, wrote = size(data) - disk, written(kinds["restate"]) - wrote
    alone = statistics.median(await send(cluster, numbers, 15, 1))
    async with httpx.AsyncClient(base_url=cluster.nodes[0].admin, timeout=60) as admin:
        [row] = await journal.query(admin, "SELECT sum(raw_length) AS bytes FROM sys_journal")
    sent = next(numbers)
    return Cost(
        **used,
        alone=alone,
        disk=grown / claims,
        written=wrote / claims,
        journal=row["bytes"] / sent,
        idle=idle["restate"],
        memory=memory(kinds["restate"]),
    )


async def open_claims(framework: Framework, claims: int, folder: Path) -> tuple[float, float]:
    """Bytes that an open claim takes in the agent and in Restate, while it waits for a model that takes its time."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "offline_model", "--port", str(port), "--latency", str(LATENCY)]
    env = {"OPENAI_BASE_URL": f"{url}/v1", "GOOGLE_GEMINI_BASE_URL": url, "MODEL_TIMEOUT": "120"}
    async with (
        processes.running("The model", command, folder.with_suffix(".log")) as model,
        deploy.running(folder, framework=framework, pattern=FAN_OUT, nodes=1, replicas=1, checks=0, env=env) as cluster,
    ):
        await model.until(f"{url}/health")
        numbers, kinds = itertools.count(), parts(cluster)
        await send(cluster, numbers, 2, 2)
        before = memory(kinds["agent"]), memory(kinds["restate"])
        sending = asyncio.create_task(send(cluster, numbers, claims, claims))
        await asyncio.sleep(LATENCY)  # by now all wait for their first answer or their second
        after = memory(kinds["agent"]), memory(kinds["restate"])
        await sending
    return (after[0] - before[0]) / claims, (after[1] - before[1]) / claims


async def run(framework: Framework, claims: int, opened: int, console: Console) -> None:
    """Measure, and show: each way to run the checks, on one node and on three."""
    costs: dict[tuple[Pattern, int], Cost] = {}
    with tempfile.TemporaryDirectory(prefix="tour-cost-") as folder:
        for pattern, nodes in itertools.product((FAN_OUT, REMOTE_CHECKS), (1, deploy.NODES)):
            console.print(f"{framework.title}, {pattern.title}, nodes: {nodes}", highlight=False)
            async with AsyncExitStack() as exits:
                cluster = await exits.enter_async_context(
                    deploy.running(
                        Path(folder, f"{pattern.name}-{nodes}"),
                        framework=framework,
                        pattern=pattern,
                        nodes=nodes,
                        replicas=1,
                        checks=int(pattern == REMOTE_CHECKS),
                    )
                )
                costs[pattern, nodes] = await measure(cluster, claims)
        in_agent, in_restate = await open_claims(framework, opened, Path(folder, "open"))
    for shown in results(framework, costs, claims):
        console.print(shown, highlight=False)
    console.print(
        f"An open claim, of {opened}: {in_agent / 1000:.0f} kB in the agent, {in_restate / 1000:.0f} kB in Restate",
        highlight=False,
    )


def results(
    framework: Framework, costs: Mapping[tuple[Pattern, int], Cost], claims: int
) -> Iterator[FittedTable | str]:
    """The costs as a table with a column for each pattern and number of nodes, and lines that compare the nodes."""
    figures: dict[str, Callable[[Cost], str]] = {
        "CPU of Restate, ms": lambda cost: f"{cost.restate:.1f}",
        "CPU of the agent, ms": lambda cost: f"{cost.agent:.1f}",
        "CPU of the checks, ms": lambda cost: f"{cost.checks:.1f}",
        "CPU of Envoy, ms": lambda cost: f"{cost.envoy:.1f}",
        "latency alone, s": lambda cost: f"{cost.alone:.2f}",
        "growth of the logs, kB": lambda cost: f"{cost.disk / 1000:.1f}",
        "written to disk, kB": lambda cost: f"{cost.written / 1000:.1f}",
        "journal, kB": lambda cost: f"{cost.journal / 1000:.1f}",
        "idle Restate, cores": lambda cost: f"{cost.idle:.2f}",
        "memory of Restate, MB": lambda cost: f"{cost.memory / 1e6:.0f}",
    }
    yield FittedTable(
        ["", *(f"{pattern.title}, {nodes} node{'s' * (nodes > 1)}" for pattern, nodes in costs)],
        [(name, *(figure(cost) for cost in costs.values())) for name, figure in figures.items()],
        title=f"{framework.title}: one claim, the average of {claims}",
    )
    for pattern in (FAN_OUT, REMOTE_CHECKS):
        ratio = costs[pattern, deploy.NODES].restate / costs[pattern, 1].restate
        yield f"Restate's CPU, {deploy.NODES} nodes to one, {pattern.title}: {ratio:.2f} x"


cli = typer.Typer(add_completion=False)


@cli.command()
def cost(
    agent: Annotated[str, typer.Option(help="The framework whose agent runs, by folder name.")] = "openai_agents",
    claims: Annotated[int, typer.Option(help="The number of claims to measure, each way.", min=8)] = 300,
    opened: Annotated[
        int, typer.Option("--open", help="The number of claims that wait for the model at the same time.", min=1)
    ] = 200,
) -> None:
    """Measure the CPU, memory and disk that a claim takes on one node, and on three."""
    until_done(run(deploy.chosen(agent), claims, opened, Console()))


if __name__ == "__main__":
    command_line(cli, Console(stderr=True))
