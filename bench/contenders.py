"""The contenders of the benchmark, and the recovery of each from a crash.

A contender is an agent process that can be killed and started again with its store: a peer's, or one of Restate's.
"""

import asyncio
import contextlib
import sys
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import httpx
from pydantic import BaseModel

from bench.measuring import Side
from bench.peers import postgres, prefect_server
from lab.ledger import Entry, Fault, Lab
from shared.claims import InsuranceClaim, sample_claims
from tour.runtime import processes
from tour.runtime.errors import TourError
from tour.runtime.frameworks import ROOT, Framework
from tour.runtime.processes import Process, free_port
from tour.runtime.stack import CHECKS, Stack

T = TypeVar("T")

SLOW = "fraud"
"""The check that is still running when the agent is killed. The other two have ended."""

DELAY = 2.0
"""Seconds that `SLOW` takes, each time it runs."""

SETTLE = 0.5
"""Seconds from the end of the other checks until the kill: the time in which a contender can store their results."""

ATTEMPT = 0.05
"""Seconds between two attempts of a caller to reach a peer."""

PATIENCE = 90.0
"""Seconds after which the wait for an answer ends."""


@dataclass(frozen=True)
class Peer:
    """One peer on one store. `name` is its name in the lab and for the model."""

    name: str
    title: str
    script: str
    store: Literal["sqlite", "postgres", "prefect"]
    sdk: str
    """The name of the framework of the tour that is built on the same SDK."""


PREFECT_S_DATABASE = "Postgres" if postgres.programs(postgres.TRIGRAMS) else "SQLite"
"""The database of Prefect's server: Postgres, if there is one. SQLite is often locked, and the client then waits."""

PEERS = (
    Peer("dbos.sqlite", "DBOS, SQLite", "dbos_agent.py", "sqlite", "pydantic_ai_agent"),
    Peer("dbos.postgres", "DBOS, Postgres", "dbos_agent.py", "postgres", "pydantic_ai_agent"),
    Peer("langgraph.sqlite", "LangGraph, SQLite", "langgraph_agent.py", "sqlite", "langchain_agent"),
    Peer("langgraph.postgres", "LangGraph, Postgres", "langgraph_agent.py", "postgres", "langchain_agent"),
    Peer("prefect", f"Prefect, {PREFECT_S_DATABASE}", "prefect_agent.py", "prefect", "pydantic_ai_agent"),
)


class Contender(Protocol):
    """An agent process to kill and to start again."""

    @property
    def name(self) -> str:
        """Its name in the lab and for the model."""

    @property
    def title(self) -> str: ...

    async def kill(self) -> None:
        """End the agent's process and its children with SIGKILL. A server that is its store keeps running."""

    async def start(self) -> None:
        """Start it again with the same store and port, and wait until it is ready. Raises: TourError."""

    async def send(self, id: str, claim: InsuranceClaim) -> str:
        """Send a claim and wait for the answer, across a crash. Raises: TourError when it is not decided."""


@dataclass(frozen=True)
class Running:
    """A running peer."""

    peer: Peer
    process: Process
    url: str
    client: httpx.AsyncClient
    server: int | None
    """The process id of its store, if that is a server."""

    @property
    def name(self) -> str:
        return self.peer.name

    @property
    def title(self) -> str:
        return self.peer.title

    async def kill(self) -> None:
        await self.process.kill()

    async def start(self) -> None:
        await self.process.restart()
        await self.process.until(f"{self.url}/health")

    async def send(self, id: str, claim: InsuranceClaim) -> str:
        """Send the claim, with its id, until the peer can be reached; then wait for the answer."""
        while True:
            with contextlib.suppress(httpx.TransportError):
                return await self.post(id, claim)
            await asyncio.sleep(ATTEMPT)

    async def post(self, id: str, claim: InsuranceClaim) -> str:
        """Send a claim once, and wait. Raises: TourError when it is not decided; httpx.TransportError."""
        response = await self.client.post(f"/run/{id}", json=claim.model_dump(mode="json"))
        if response.status_code != 200:
            raise TourError(
                f"{self.title} did not decide: {response.status_code} {response.text}\n{self.process.log_tail()}",
                f"Its log: {self.process.log}",
            )
        return str(response.json())

    @property
    def side(self) -> Side:
        """This peer as a side of the benchmark. Each claim is a workflow of its own."""
        claim = sample_claims()["broken-leg"]

        async def send() -> None:
            answer = await self.post(uuid.uuid4().hex, claim)
            if not answer.startswith("Approved:"):
                raise TourError(f"{self.title} decided: {answer}", f"Its log: {self.process.log}")

        return Side(send, self.process.pid, self.server)


@dataclass(frozen=True)
class Durable:
    """One of Restate's agents. A caller sends a claim to Restate once, and waits."""

    running: Stack
    framework: Framework

    @property
    def name(self) -> str:
        return self.framework.prefix(self.running.pattern)

    @property
    def title(self) -> str:
        return f"Restate, {self.framework.title}"

    async def kill(self) -> None:
        await self.running.agents[self.framework.name].process.kill()

    async def start(self) -> None:
        await self.running.agents[self.framework.name].restart()

    async def send(self, id: str, claim: InsuranceClaim) -> str:
        return await self.running.answer(await self.running.submit(self.framework, claim, id, id, idempotency_key=id))


@asynccontextmanager
async def running(peer: Peer, folder: Path, env: Callable[[str], Mapping[str, str]]) -> AsyncIterator[Running]:
    """A peer on a new store, for as long as the block runs. `env` gives its variables for the model and the lab.

    Logs and data are in `folder`, but for Postgres' data. Raises: TourError when a part cannot be started.
    """
    folder.mkdir(parents=True, exist_ok=True)
    python, server = Path(sys.executable), None
    port = free_port()
    variables = {"PORT": str(port), "HOST": "127.0.0.1", **env(peer.name)}
    async with AsyncExitStack() as exits:
        match peer.store:
            case "sqlite":
                variables["PEER_STORE"] = f"sqlite:///{folder / 'store.db'}"
            case "postgres":
                database = await exits.enter_async_context(postgres.serving(folder / "postgres.log"))
                variables["PEER_STORE"] = database.url
                server = database.process.pid
            case "prefect":
                url = ""
                if PREFECT_S_DATABASE == "Postgres":
                    log = folder / "postgres.log"
                    url = (await exits.enter_async_context(postgres.serving(log, postgres.TRIGRAMS))).url
                prefect = await exits.enter_async_context(prefect_server.serving(folder / "prefect", url))
                python, server = prefect.python, prefect.process.pid
                variables |= prefect.env
        command = [python, ROOT / "bench" / "peers" / peer.script]
        process = await exits.enter_async_context(
            processes.running(peer.title, command, folder / "agent.log", variables)
        )
        url = f"http://127.0.0.1:{port}"
        client = await exits.enter_async_context(
            httpx.AsyncClient(base_url=url, timeout=None, limits=httpx.Limits(max_connections=None), trust_env=False)
        )
        await process.until(f"{url}/health")
        yield Running(peer, process, url, client, server)


class Recovery(BaseModel):
    """The recovery of a contender from one `kill -9`, while `SLOW` ran and the other checks had ended. Times in s."""

    name: str
    title: str
    ready: float
    """From the kill until the agent was ready; it is started again at once."""
    answered: float
    """From the kill until the caller had the answer. It includes `DELAY`, for the check that has to run again."""
    repeated_checks: list[str]
    """The checks that had ended and ran again."""
    repeated_model_calls: int
    """The number of model calls that had been answered and were made again."""
    right: bool
    """Whether the answer is the same as without a kill."""

    @property
    def beyond(self) -> float:
        """The time to the answer without the start of the process and the check that had to run."""
        return self.answered - self.ready - DELAY


async def recovery(contender: Contender, lab: Lab) -> Recovery:
    """Kill the agent in the middle of a claim, start it again, and wait for the answer.

    Nothing else may be sent to it at that time. Raises: TourError when a claim is not decided in `PATIENCE` seconds.
    """
    undisturbed = await _in_time(contender, contender.send(*_claim()))
    id, claim = _claim()
    lab.plan(Fault(SLOW, "delay", DELAY, framework=contender.name, about=id))
    began = time.time()

    def entries() -> list[Entry]:
        return [entry for entry in lab.ledger(contender.name) if entry.at >= began]

    sending = asyncio.create_task(contender.send(id, claim))
    try:
        await _in_time(contender, _until(lambda: sending.done() or _in_the_middle(entries())))
        await asyncio.sleep(SETTLE)
        killed, clock = time.time(), time.perf_counter()
        await contender.kill()
        await contender.start()
        ready = time.perf_counter() - clock
        answer = await _in_time(contender, sending)
        answered = time.perf_counter() - clock
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    checks, calls = repeated(entries(), killed)
    return Recovery(
        name=contender.name,
        title=contender.title,
        ready=ready,
        answered=answered,
        repeated_checks=checks,
        repeated_model_calls=calls,
        right=answer == undisturbed,
    )


def repeated(entries: list[Entry], killed: float) -> tuple[list[str], int]:
    """The work that was done before the kill and again after it: the checks, and the number of model calls.

    `entries` are the ledger's entries of one claim; `killed` is in s since the epoch. A model call counts as answered
    if a check or another call followed it.
    """
    before = [entry for entry in entries if entry.at < killed]
    after = Counter((entry.step, entry.detail) for entry in entries if entry.at >= killed and entry.event == "start")
    ended = {entry.step for entry in before if entry.event == "end" and entry.detail == "ok"}
    answered = {
        entry.detail
        for number, entry in enumerate(before)
        if entry.step == "model" and any(later.event == "start" for later in before[number + 1 :])
    }
    checks = [check for check in CHECKS if check in ended and after[check, ""]]
    return checks, sum(after["model", detail] for detail in answered)


def _claim() -> tuple[str, InsuranceClaim]:
    """An id, and a claim with the id in its reason, so that the lab's faults and the model's answers are its own."""
    id = uuid.uuid4().hex
    claim = sample_claims()["broken-leg"]
    return id, claim.model_copy(update={"reason": f"{claim.reason} {id}"})


def _in_the_middle(entries: list[Entry]) -> bool:
    started = {entry.step for entry in entries if entry.event == "start"}
    ended = {entry.step for entry in entries if entry.event == "end"}
    return SLOW in started and ended == {*CHECKS} - {SLOW}


async def _until(seen: Callable[[], bool]) -> None:
    while True:
        if seen():
            return
        await asyncio.sleep(processes.POLL)


async def _in_time(contender: Contender, work: Awaitable[T]) -> T:
    try:
        return await asyncio.wait_for(work, PATIENCE)
    except TimeoutError:
        raise TourError(f"{contender.title} has not decided in {PATIENCE:.0f} s.", "Look at its log.") from None
