"""The cost of a claim on one node of Restate, and on a cluster that keeps everything twice.

uv run --group deploy python -m deploy.cost

CPU is the CPU time of the processes, minus their CPU time when idle. Other load on the machine changes the latencies,
but hardly the CPU time.
"""

import asyncio
import itertools
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import httpx
import psutil
import typer
from rich.console import Console

from bench.measuring import cpu_time, latencies
from deploy import cluster as deploy
from deploy.cluster import Cluster
from shared.claims import sample_claims
from tour.report import machine
from tour.runtime import journal, processes
from tour.runtime.frameworks import FAN_OUT, REMOTE_CHECKS, Framework, Pattern
from tour.runtime.processes import Process, free_port
from tour.runtime.run import command_line, until_done
from tour.tables import FittedTable

IDLE = 5.0
"""Seconds for which the CPU time of the idle processes is measured."""

AT_ONCE = 8
"""The number of concurrent claims."""

LATENCY = 10.0
"""The model's latency, in seconds, while the memory of open claims is measured."""


@dataclass(frozen=True)
class Cost:
    """The cost of one claim.

    `restate`, `agent`, `checks` and `envoy` are the CPU time of all processes of a kind, in ms. Sizes are in bytes.
    """

    restate: float
    agent: float
    checks: float
    envoy: float
    alone: float
    """The median latency of a claim when it is the only one, in s."""
    disk: float
    """The growth of the data folders of all nodes: only their logs, because the tables are still in memory."""
    written: float
    """The bytes that all nodes write to the disk, in whole blocks."""
    journal: float
    """The size of the claim's journal."""
    idle: float
    """The number of cores that an idle Restate uses."""
    memory: float
    """The resident memory of all nodes of Restate, at the end."""


def parts(cluster: Cluster) -> dict[str, list[Process]]:
    """The processes of a cluster, by kind."""
    return {
        "restate": [node.process for node in cluster.nodes],
        "agent": [agent.process for agent in cluster.agents],
        "checks": [checks.process for checks in cluster.checks],
        "envoy": [cluster.envoy],
    }


def cpu(running: Sequence[Process]) -> float:
    """The CPU time of the processes so far, in s."""
    return sum(cpu_time(process.pid) for process in running) / 1000


def memory(running: Sequence[Process]) -> int:
    """The resident memory of the processes, in bytes."""
    return sum(psutil.Process(process.pid).memory_info().rss for process in running)


def size(folder: Path) -> int:
    """The bytes in the files of a folder. Blocks are allocated in advance, so their number says nothing."""
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())


def written(running: Sequence[Process]) -> int:
    """The bytes that the processes have written to the disk so far; 0 if the system does not tell (macOS)."""
    if sys.platform != "linux":
        return 0
    return sum(psutil.Process(process.pid).io_counters().write_bytes for process in running)


async def send(cluster: Cluster, numbers: Iterator[int], claims: int, at_once: int) -> list[float]:
    """Send `claims` claims, `at_once` at a time, each for another user; returns the latency of each, in s."""
    claim = sample_claims()["broken-leg"]
    async with httpx.AsyncClient(timeout=None, limits=httpx.Limits(max_connections=None)) as client:

        async def send_one() -> None:
            response = await client.post(cluster.call(f"user-{next(numbers)}"), json=cluster.framework.body(claim))
            response.raise_for_status()

        return [latency / 1000 for latency in await latencies(send_one, claims, at_once)]


async def measure(cluster: Cluster, claims: int) -> Cost:
    """Warm up, measure the idle processes, then send the claims and measure their cost."""
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
    """The memory of an open claim that waits for the model, in bytes: in the agent, and in Restate."""
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
        await asyncio.sleep(LATENCY)  # then all claims wait for their first or second answer
        after = memory(kinds["agent"]), memory(kinds["restate"])
        await sending
    return (after[0] - before[0]) / claims, (after[1] - before[1]) / claims


async def run(framework: Framework, claims: int, opened: int, console: Console, file: Path | None) -> None:
    """Measure each pattern on one node and on three, print the results, and write them as JSON."""
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
    if file:
        rows = [{"pattern": pattern.title, "nodes": nodes, **asdict(each)} for (pattern, nodes), each in costs.items()]
        measured = {"agent": framework.title, "claims": claims, "machine": machine().model_dump(), "costs": rows}
        measured |= {"open": {"claims": opened, "agent": in_agent, "restate": in_restate}}
        file.write_text(json.dumps(measured, indent=1) + "\n")
    for shown in results(framework, costs, claims):
        console.print(shown, highlight=False)
    console.print(of_open_claims(opened, in_agent, in_restate), highlight=False)


def of_open_claims(opened: int, agent: float, restate: float) -> str:
    """The memory of an open claim in words; sizes in bytes."""
    return f"An open claim, of {opened}: {agent / 1000:.0f} kB in the agent, {restate / 1000:.0f} kB in Restate"


def results(
    framework: Framework, costs: Mapping[tuple[Pattern, int], Cost], claims: int
) -> Iterator[FittedTable | str]:
    """A table of costs with a column for each pattern and number of nodes, and lines that compare the nodes."""
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
    json_: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file.")] = None,
) -> None:
    """Measure the CPU, memory and disk that a claim takes on one node, and on three."""
    until_done(run(deploy.chosen(agent), claims, opened, Console(), json_))


if __name__ == "__main__":
    command_line(cli, Console(stderr=True))
