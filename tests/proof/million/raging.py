"""Runs a storm on a separate Restate server and agent processes, and judges its evidence."""

import asyncio
import contextlib
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.proof.million.evidence import SIZE, Verdict, judge
from tests.proof.million.storm import SERVER, Invocation, Storm
from tour.runtime import processes, restate_server, stack
from tour.runtime.processes import POLL, Process, free_port
from tour.runtime.restate_server import Ports, Restate

AGENTS = 2
IN_FLIGHT = 24
"""The number of concurrent invocations."""

IN_TIME = 180.0
"""Seconds after which an invocation without an answer counts as lost."""

SERVER_ENV = {
    "RESTATE_DEFAULT_RETRY_POLICY__INITIAL_INTERVAL": "20ms",
    "RESTATE_DEFAULT_RETRY_POLICY__MAX_INTERVAL": "100ms",
    # No attempt ends but by an answer, a failed step or a kill: not because a busy machine stands still.
    "RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT": "1h",
    "RESTATE_WORKER__INVOKER__ABORT_TIMEOUT": "1h",
    "RESTATE_DEFAULT_JOURNAL_RETENTION": "0s",
    "RESTATE_LOG_FILTER": "error,octocrab=off",  # not a warning for each planned failure
}


@dataclass
class Kills:
    agents: int = 0
    server: int = 0


@dataclass
class Running:
    """A server and agents. The evidence has the number of each start."""

    server: Restate
    agents: list[Process]
    ingress: httpx.AsyncClient
    evidence: Path
    starts: dict[int, int] = field(default_factory=dict)
    kills: Kills = field(default_factory=Kills)

    async def kill(self, victim: int) -> None:
        """Kill the server or an agent with SIGKILL, and restart it. Raises: TourError."""
        start = self.starts[victim] = self.starts.get(victim, 0) + 1
        if victim == SERVER:
            assert self.server.process
            self.server.process.env = {**self.server.process.env, **_named(start)}
            self.kills.server += 1
            await self.server.restart()
        else:
            agent = self.agents[victim]
            agent.env = {**agent.env, "AGENT_START": str(start)}
            self.kills.agents += 1
            await agent.restart()
            await agent.until(f"http://127.0.0.1:{agent.env['PORT']}/health")

    async def answer(self, invocation: Invocation) -> object:
        """Restate's answer; asks again while Restate is down. None: no answer in `IN_TIME`."""
        path = f"/restate/call/Steps{invocation.number % len(self.agents)}/{invocation.handler}"
        said: object = None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(IN_TIME):
                while True:
                    with contextlib.suppress(httpx.HTTPError, ValueError):
                        response = await self.ingress.post(
                            path,
                            content=invocation.model_dump_json(),
                            headers={"content-type": "application/json", "idempotency-key": str(invocation.number)},
                        )
                        said = response.json()
                        if response.status_code == 200:
                            return said
                    await asyncio.sleep(0.1)
        return said


def _named(start: int) -> dict[str, str]:
    """Let the server send the number of its starts with each request."""
    return {"RESTATE_WORKER__INVOKER__ADDITIONAL_REQUEST_HEADERS": f'{{x-server-start="{start}"}}'}


@asynccontextmanager
async def running(folder: Path, plain: bool = False, agents: int = AGENTS) -> AsyncIterator[Running]:
    """A server and agents, with their data in the folder, while the block runs. Raises: TourError."""
    evidence = folder / "evidence"
    evidence.touch()
    async with AsyncExitStack() as entered:
        server = await entered.enter_async_context(
            restate_server.serving(
                folder / "data", folder / "server.log", ports=Ports.free(), env=SERVER_ENV | _named(0)
            )
        )
        admin = await entered.enter_async_context(httpx.AsyncClient(base_url=server.admin, timeout=30))
        started: list[Process] = []
        for number in range(agents):
            env = {"PORT": str(free_port()), "AGENT": str(number), "EVIDENCE": str(evidence)}
            command: list[str | Path] = [sys.executable, "-m", "tests.proof.million.service"]
            env |= {"PLAIN": "1"} if plain else {}
            process = processes.running(f"Agent {number}", command, folder / f"agent-{number}.log", env)
            started.append(await entered.enter_async_context(process))
        for agent in started:
            url = f"http://127.0.0.1:{agent.env['PORT']}"
            await agent.until(f"{url}/health")
            await stack.register(admin, url)
        limits = httpx.Limits(max_connections=None)
        ingress = httpx.AsyncClient(base_url=server.ingress, timeout=IN_TIME, limits=limits, trust_env=False)
        yield Running(server, started, await entered.enter_async_context(ingress), evidence)


@dataclass
class Raged:
    """The outcome of a storm."""

    verdict: Verdict
    kills: Kills
    seconds: float


async def rage(
    storm: Storm, folder: Path, plain: bool = False, report: Callable[[int], None] = lambda steps: None
) -> Raged:
    """Run the storm; `report` gets the number of steps in the answers so far. Raises: TourError."""
    began, answers, done = time.monotonic(), dict[int, object](), 0
    turn = asyncio.Semaphore(IN_FLIGHT)
    expected = 3 * len(storm.steps) * SIZE  # a start, a result and a completion of each

    async def ask(invocation: Invocation) -> None:
        nonlocal done
        async with turn:
            answers[invocation.number] = await now.answer(invocation)
        done += len(invocation.steps)
        report(done)

    async def strike() -> None:
        for kill in storm.kills:
            while now.evidence.stat().st_size < kill.part * expected:  # noqa: ASYNC110 - other processes write it
                await asyncio.sleep(POLL)
            await now.kill(kill.victim)

    async with running(folder, plain) as now:
        async with asyncio.TaskGroup() as group:
            striking = group.create_task(strike())
            await asyncio.gather(*(group.create_task(ask(invocation)) for invocation in storm.invocations))
            striking.cancel()
        kills = now.kills
    return Raged(judge(storm, folder / "evidence", answers), kills, time.monotonic() - began)
