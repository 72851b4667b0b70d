"""A service of steps on a real Restate, and its jobs in the lab's ledger."""

import asyncio
import itertools
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from lab.ledger import Fault, Lab
from tour.runtime import processes, restate_server, stack
from tour.runtime.processes import Process, free_port
from tour.runtime.restate_server import Ports, Restate

SERVERS = [pytest.param("1m", id="live"), pytest.param("0s", id="replaying", marks=pytest.mark.in_turn(8))]
"""The server's inactivity timeout, a parameter of `serving`: with 0 s, each wait ends in a replay."""


@dataclass
class Job:
    """One invocation of the job service."""

    jobs: "Jobs"
    id: str

    async def answer(self) -> tuple[int, object]:
        """Status and body, once the job has ended; the body of an error is its message."""
        response = await self.jobs.client.get(f"{self.jobs.restate.ingress}/restate/invocation/{self.id}/attach")
        body = response.json()
        return response.status_code, body if response.status_code == 200 else body["message"]

    async def cancel(self) -> None:
        await self.jobs.client.patch(f"{self.jobs.restate.admin}/invocations/{self.id}/cancel")

    async def ended(self, **steps: int) -> None:
        """Wait until each of these steps has ended this number of times, and no other step."""
        await self.until(lambda: self.count("end") == steps)

    async def until(self, seen: Callable[[], bool]) -> None:
        """Wait until the ledger meets the condition."""
        while True:
            if seen():
                return
            await asyncio.sleep(0.02)

    def count(self, event: str) -> dict[str, int]:
        return dict(Counter(e.step for e in self.jobs.lab.ledger() if e.invocation == self.id and e.event == event))

    @property
    def started(self) -> dict[str, int]:
        """The number of starts of each step."""
        return self.count("start")


@dataclass
class Jobs:
    """A service, registered with a Restate that retries quickly."""

    restate: Restate
    lab: Lab
    client: httpx.AsyncClient
    numbers: Iterator[int]
    process: Process

    async def run(self, *faults: Fault, steps: list[str], service: str = "Job", **options: Any) -> Job:
        """Plan the faults for a new job, and send it."""
        tag = self.tag(*faults)
        return await self.send(f"{service}/run", {"id": tag, "steps": steps, **options})

    def tag(self, *faults: Fault) -> str:
        """Plan the faults for one job; returns the tag that its steps must have among their arguments."""
        tag = f"job-{next(self.numbers)}."
        self.lab.plan(*(replace(fault, about=tag) for fault in faults))
        return tag

    async def send(self, path: str, body: Any) -> Job:
        """Send a job to a handler, given as `service/handler`."""
        response = await self.client.post(f"{self.restate.ingress}/restate/send/{path}", json=body)
        return Job(self, response.json()["invocationId"])


@asynccontextmanager
async def serving(script: str, inactivity: str, folder: Path) -> AsyncIterator[Jobs]:
    """Serve a script of this folder, with a Restate that suspends after this inactivity; `0s` replays at each await."""
    port, path = free_port(), folder / "lab.sqlite"
    server_env = {
        "RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT": inactivity,
        "RESTATE_DEFAULT_RETRY_POLICY__INITIAL_INTERVAL": "50ms",
    }
    env = {"PORT": str(port), "TOUR_LAB": str(path)}
    command: list[str | Path] = [sys.executable, Path(__file__).with_name(script)]
    async with (
        restate_server.serving(folder / "data", folder / "log", ports=Ports.free(), env=server_env) as server,
        processes.running("The job service", command, folder / "service.log", env) as process,
        httpx.AsyncClient(base_url=server.admin, timeout=30) as client,
    ):
        await process.until(f"http://127.0.0.1:{port}/health")
        await stack.register(client, f"http://127.0.0.1:{port}")
        yield Jobs(server, Lab(path), client, itertools.count(), process)
