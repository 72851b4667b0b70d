"""The trials of a judged agent: the same request again and again, each time with another fault.

A trial is one invocation on a real Restate server. Its evidence comes from Restate's journal and from the world.
"""

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Container, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import httpx
import psutil

from tour.judge.world import Call, Numbered, Plan, World, numbered
from tour.runtime import journal, processes, restate_server, stack
from tour.runtime.errors import TourError
from tour.runtime.journal import Failure, Invocation, Step
from tour.runtime.processes import POLL, Process
from tour.runtime.restate_server import Ports, Restate

FIRST = 60.0
"""Seconds for the first invocation, whose duration is not known yet."""

PATIENCE = 5.0
"""Seconds that a later invocation may take beyond three times the first."""

LOST = 4
"""Retries without a new journal entry after which an invocation is given up."""

TICK = 0.002
"""Seconds by which a time in the journal may be too early, because the journal has whole milliseconds."""

READY = 60.0
"""Seconds for the command to listen."""


@dataclass
class Trial:
    """One invocation: its faults, its end, and its actions meanwhile. Times are in s, sizes in bytes."""

    title: str
    plan: Plan
    answer: str = ""
    """The answer, or `500: …`; empty if the invocation did not end."""
    seconds: float = 0.0
    cpu: float = 0.0
    steps: Sequence[str] = ()
    """The names of the durable steps and the types of other commands, in the order of the journal."""
    size: int = 0
    entries: int = 0
    failures: Sequence[Failure] = ()
    calls: Sequence[Call] = ()
    runs: Sequence[Step] = ()
    kills: int = 0
    killed_at: int = 0
    """The number of journal entries after the kill."""
    in_flight: Sequence[Numbered] = ()
    """The steps without a completion in that journal."""


@dataclass
class Target:
    """The handler to judge, and its request. Without a command, its service already runs, and must not be killed."""

    command: Sequence[str | Path]
    url: str
    """The address of the service; on loopback if there is a command, which gets the port in the variable `PORT`."""
    path: str
    """`Service/handler`, or `Object/{key}/handler`: each invocation replaces `{key}` with its own key."""
    body: bytes


@dataclass
class Court:
    """A separate Restate server, the world, and the agent's process, which each trial may kill."""

    target: Target
    restate: Restate
    admin: httpx.AsyncClient
    ingress: httpx.AsyncClient
    world: World
    process: Process | None
    patience: float = FIRST
    """Seconds for one invocation, from its start, or from the start of its agent after a kill."""
    services: list[str] = field(default_factory=list)
    with_calls: frozenset[str] = frozenset()
    """The names of the steps that make requests."""

    async def listening(self) -> None:
        """Wait until the process accepts connections. Raises: TourError if it ends first, or is not ready in time."""
        process, url, deadline = self.process, httpx.URL(self.target.url), time.monotonic() + READY
        while process and not await _listens(url):
            if not process.alive or time.monotonic() > deadline:
                raise TourError(
                    f"The command does not listen on port {url.port}. It said:\n{process.log_tail()}",
                    "It must listen on the port in the variable PORT. If it has a fixed port, name it with --port.",
                )
            await asyncio.sleep(POLL)

    async def suspending(self, timeout: str) -> None:
        """Let Restate suspend an invocation after `timeout` without progress: `0s` replays it at each await."""
        for service in self.services:
            changed = await self.admin.patch(f"/services/{service}", json={"inactivity_timeout": timeout})
            changed.raise_for_status()

    async def run(self, title: str, plan: Plan, kill_at: int = 0, kill_in: Numbered | None = None) -> Trial:
        """Run a trial. Kills the process as soon as the journal has `kill_at` entries, or the step `kill_in` runs."""
        self.world.begin(plan)
        trial, began, cpu = Trial(title, plan), time.monotonic(), self._cpu()
        sent = await self._send(self.target.body)
        if not sent.is_success:
            raise TourError(f"Restate refuses the request: {sent.text}", "Choose another --request or --body.")
        id = sent.json()["invocationId"]

        async def is_time() -> bool:
            if plan.hold:
                return self.world.held.is_set()
            if kill_at:
                rows = await journal.query(self.admin, f"SELECT count(*) AS n FROM sys_journal WHERE id = '{id}'")
                return bool(rows and rows[0]["n"] >= kill_at)
            return kill_in in in_flight(await self._invocation(id))

        async with self._ending(id) as ending:
            if plan.hold or kill_at or kill_in:
                await self._until(ending, is_time)
                if not ending.done():
                    await self._kill(trial, id)
            await self._until(ending, self._lost(id))
            if ending.done():
                trial.answer = answer_of(ending.result())
        trial.seconds, trial.cpu = time.monotonic() - began, max(self._cpu() - cpu, 0.0)
        invocation = await self._invocation(id)
        trial.entries, trial.size, trial.failures = invocation.entries, invocation.size, invocation.failures
        trial.steps, trial.runs, trial.calls = await self._commands(id), invocation.steps, self.world.calls
        if plan.apart:
            self.with_calls |= steps_with_calls(trial.calls, invocation.steps)
        return trial

    async def refused(self, body: bytes) -> int:
        """The status of the answer to this body; 0 if it is retried, or not answered in time."""
        self.world.begin(Plan())
        sent = await self._send(body)
        if not sent.is_success:
            return sent.status_code
        id = sent.json()["invocationId"]
        async with self._ending(id) as ending:
            await self._until(ending, self._lost(id))
            return ending.result().status_code if ending.done() else 0

    async def _send(self, body: bytes) -> httpx.Response:
        path = self.target.path.replace("{key}", f"judge-{uuid4().hex}")
        return await self.ingress.post(f"/restate/send/{path}", content=body, headers=JSON)

    @asynccontextmanager
    async def _ending(self, id: str) -> "AsyncIterator[asyncio.Task[httpx.Response]]":
        """The task that waits for the answer. Kills an invocation without an answer when the block ends."""
        ending = asyncio.create_task(self.ingress.get(f"/restate/invocation/{id}/attach"))
        try:
            yield ending
        finally:
            if not ending.done():
                ending.cancel()
                await self.admin.patch(f"/invocations/{id}/kill")

    async def _until(self, ending: "asyncio.Task[httpx.Response]", condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait for the answer or the condition, at most for `patience`."""
        deadline = time.monotonic() + self.patience
        while not (ending.done() or await condition() or time.monotonic() > deadline):
            await asyncio.wait({ending}, timeout=POLL)

    def _lost(self, id: str) -> Callable[[], Awaitable[bool]]:
        """The condition that attempt after attempt fails without a new journal entry."""
        last = None, 0

        async def is_lost() -> bool:
            nonlocal last
            rows = await journal.query(
                self.admin, f"SELECT retry_count, journal_size FROM sys_invocation WHERE id = '{id}'"
            )
            if not rows:
                return False
            retries, size = int(rows[0].get("retry_count") or 0), rows[0].get("journal_size")
            if size != last[0] or retries < last[1]:
                last = size, retries
            return retries >= last[1] + LOST

        return is_lost

    async def _invocation(self, id: str) -> Invocation:
        return (await journal.read(self.admin, id))[id]

    async def _kill(self, trial: Trial, id: str) -> None:
        assert self.process
        await self.process.kill()
        trial.kills += 1
        self.world.attempt += 1
        self.world.plan = Plan()
        self.world.release.set()
        await self.process.restart()
        left = await self._invocation(id)  # the new process starts much slower than this query runs
        trial.killed_at, trial.in_flight = left.entries, in_flight(left)
        mark_journaled(self.world.calls, left.steps, self.with_calls)
        await self.listening()

    async def _commands(self, id: str) -> list[str]:
        rows = await journal.query(
            self.admin,
            "SELECT entry_type, name FROM sys_journal"
            f" WHERE id = '{id}' AND entry_type LIKE 'Command:%' ORDER BY index",
        )
        names = (row.get("name") or row["entry_type"].removeprefix("Command: ") for row in rows)
        return [name for name in names if name not in ("Input", "Output")]

    def _cpu(self) -> float:
        if not self.process:
            return 0.0
        try:
            times = psutil.Process(self.process.pid).cpu_times()
        except psutil.Error:
            return 0.0
        return times.user + times.system


JSON = {"content-type": "application/json"}


def in_flight(invocation: Invocation) -> list[Numbered]:
    """The steps that have begun without a completion in the journal."""
    runs = zip(numbered(step.name for step in invocation.steps), invocation.steps, strict=True)
    return [run for run, step in runs if step.end is None]


def answer_of(response: httpx.Response) -> str:
    return response.text if response.is_success else f"{response.status_code}: {response.text}"


def steps_with_calls(calls: Iterable[Call], steps: Iterable[Step]) -> frozenset[str]:
    """The names of the steps that made these calls: for each call, the first step to end among those around it."""
    spans = sorted((step.end / 1000 + TICK, step.start / 1000, step.name) for step in steps if step.end)
    names = (
        next((name for end, start, name in spans if start <= call.begun and end >= call.answered), "")
        for call in calls
        if call.answered
    )
    return frozenset(filter(None, names))


def mark_journaled(calls: Iterable[Call], steps: Iterable[Step], with_calls: Container[str]) -> None:
    """Mark the calls whose answers are in the journal: their steps have ended since."""
    ends = sorted(step.end / 1000 + TICK for step in steps if step.end and step.name in with_calls)
    for call in sorted((call for call in calls if call.answered), key=lambda call: call.answered):
        ended = next((end for end in ends if end >= call.answered), None)
        if ended is not None:
            ends.remove(ended)
            call.journaled = True


@asynccontextmanager
async def court(target: Target, upstream: str, folder: Path) -> AsyncIterator[Court]:
    """Restate, the world and the agent, until the block ends. Raises: TourError if one of them does not start."""
    async with AsyncExitStack() as exits:
        world = await exits.enter_async_context(World(upstream).serving())
        env = {"PORT": str(httpx.URL(target.url).port), "HOST": "127.0.0.1", **world.env}
        if os.environ.get("PYTHONDONTWRITEBYTECODE"):  # otherwise each start would compile an SDK for seconds
            env |= {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": str(folder / "bytecode")}
        command = processes.running("The command", target.command, folder / "agent.log", env)
        process = await exits.enter_async_context(command) if target.command else None
        restate = await exits.enter_async_context(
            restate_server.serving(folder / "restate", folder / "restate.log", lambda _: None, ports=Ports.free())
        )
        admin = await exits.enter_async_context(restate.admin_client())
        ingress = await exits.enter_async_context(restate.ingress_client())
        held = Court(target, restate, admin, ingress, world, process)
        await held.listening()
        held.services = await stack.register(admin, target.url)
        if not target.path:
            target.path = await _only_handler(admin, held.services)
        yield held


async def _only_handler(admin: httpx.AsyncClient, services: Sequence[str]) -> str:
    """The path of the only handler of the services. Raises: TourError if there are several."""
    found = []
    for name in services:
        service = (await admin.get(f"/services/{name}")).json()
        keyed = service["ty"] != "Service"
        found += [f"{name}/{'{key}/' if keyed else ''}{handler['name']}" for handler in service["handlers"]]
    if len(found) != 1:
        raise TourError(f"There are {len(found)} handlers: {', '.join(found)}.", "Choose one with --request.")
    return found[0]


async def _listens(url: httpx.URL) -> bool:
    try:
        _, writer = await asyncio.open_connection(url.host, url.port)
    except OSError:
        return False
    writer.close()
    return True


def shown(answer: str) -> str:
    """An answer on one short line."""
    with_spaces = " ".join(json.dumps(answer)[1:-1].split())
    return with_spaces if len(with_spaces) <= 100 else f"{with_spaces[:99]}…"
