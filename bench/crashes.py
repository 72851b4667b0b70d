"""The recovery of each contender from a crash: it is killed at every point of a claim, and started again at once.

A contender is an agent process that can be killed and started again with its store: a peer's, or one of Restate's.
"""

import asyncio
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

from pydantic import BaseModel

from lab.ledger import Entry, Fault, Kind, Lab
from shared.claims import InsuranceClaim, sample_claims
from tour.runtime.agents import Agent
from tour.runtime.errors import TourError
from tour.runtime.frameworks import FAN_OUT, Framework, Pattern
from tour.runtime.stack import CHECKS, Stack

T = TypeVar("T")

SLOW = "fraud"
"""The check that is still running at the point `MIDDLE`, when the other two have ended."""

DELAY = 2.0
"""Seconds that `SLOW` takes at `MIDDLE`, each time it runs."""

SETTLE = 0.5
"""Seconds from the end of the other checks until the kill at `MIDDLE`: the time to store their results."""

CALL = 0.3
"""Seconds that the model takes at the points in a model call, and a check at the points before and after it."""

WINDOW = (0, 1, 2, 5, 10, 20, 50)
"""Milliseconds from the end of the last check until the kill. Meanwhile its result is on its way to the store."""

POLL = 0.001
"""Seconds between two looks at the ledger."""

PATIENCE = 90.0
"""Seconds after which the wait for an answer ends."""


DOCUMENTED = Pattern(
    "as-documented", "as Restate documents it", "twins/documented_agent.py", FAN_OUT.service, "documented"
)
"""The agents as Restate's documentation writes them, without `durable/`."""


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
class Durable:
    """One of Restate's agents. A caller sends a claim to Restate once, and waits."""

    running: Stack
    framework: Framework
    pattern: Pattern = FAN_OUT

    @property
    def name(self) -> str:
        return self.framework.prefix(self.pattern)

    @property
    def title(self) -> str:
        return f"Restate{' as documented' if self.pattern == DOCUMENTED else ''}, {self.framework.title}"

    @property
    def agent(self) -> Agent:
        return self.running.agents_of(self.pattern)[self.framework.name]

    async def kill(self) -> None:
        await self.agent.process.kill()

    async def start(self) -> None:
        await self.agent.restart()

    async def send(self, id: str, claim: InsuranceClaim) -> str:
        return await self.running.answer(await self.submit(id, claim))

    async def submit(self, id: str, claim: InsuranceClaim) -> str:
        """Send a claim, do not wait for its answer, and return the id of its invocation."""
        return await self.running.submit(self.framework, claim, id, id, idempotency_key=id, pattern=self.pattern)


@dataclass(frozen=True)
class Point:
    """A point of a claim: with these faults, the agent is killed once the ledger is as `reached` says.

    A crash that is one of the faults has killed it already. `unstored` is the check whose end is the crash, so that no
    store can have its result.
    """

    name: str
    faults: tuple[Fault, ...]
    reached: Callable[[list[Entry]], bool]
    settle: float = 0.0
    """Seconds from then until the kill."""
    unstored: str = ""


def _in_model_call(turn: int) -> Point:
    def reached(entries: list[Entry]) -> bool:
        return len([entry for entry in entries if (entry.step, entry.event) == ("model", "start")]) > turn

    return Point(f"in model call {turn + 1}", (Fault("model", "delay", CALL, turn=turn),), reached, CALL / 2)


def _at_check(check: str, kind: Kind) -> Point:
    def reached(entries: list[Entry]) -> bool:
        return any(entry.event == "injected" and entry.detail == kind for entry in entries)

    after = kind == "crash-after"
    faults = (Fault(check, "delay", CALL), Fault(check, kind))  # until then, the results of the others are stored
    return Point(f"{kind.removeprefix('crash-')} {check}", faults, reached, 0.05, check if after else "")


def _ended(entries: list[Entry]) -> set[str]:
    return {entry.step for entry in entries if entry.event == "end"}


def _in_the_middle(entries: list[Entry]) -> bool:
    started = {entry.step for entry in entries if entry.event == "start"}
    return SLOW in started and _ended(entries) == {*CHECKS} - {SLOW}


AS_THEY_START = Point(
    "as the checks start",
    (Fault(CHECKS[0], "crash-before"), *(Fault(check, "delay", CALL) for check in CHECKS[1:])),
    lambda entries: any(entry.event == "injected" for entry in entries),
)
"""At once, when the first check starts: the answer of the model may be on its way to the store."""

MIDDLE = Point(f"in {SLOW}, with the others done", (Fault(SLOW, "delay", DELAY),), _in_the_middle, SETTLE)

WINDOWS = [
    Point(f"{after} ms after the checks", (), lambda entries: _ended(entries) == {*CHECKS}, after / 1000)
    for after in WINDOW
]

POINTS = (
    _in_model_call(0),
    AS_THEY_START,
    *(_at_check(check, kind) for check in CHECKS for kind in ("crash-before", "crash-after")),
    MIDDLE,
    *WINDOWS,
    _in_model_call(1),
)


class Recovery(BaseModel):
    """The recovery of a contender from one `kill -9`. Times in s, from the kill."""

    name: str
    title: str
    point: str
    ready: float
    """Until the agent was ready; it is started again at once."""
    answered: float
    """Until the caller had the answer."""
    repeated_checks: list[str]
    """The checks that had ended and ran again, but not the one whose end was the crash."""
    repeated_model_calls: int
    """The number of model calls that had been answered and were made again."""
    right: bool
    """Whether the answer is the same as without a kill."""

    @property
    def beyond(self) -> float:
        """The time to the answer at `MIDDLE`, without the start of the process and the check that had to run."""
        return self.answered - self.ready - DELAY


async def recoveries(contender: Contender, lab: Lab) -> AsyncIterator[Recovery]:
    """Kill the agent at each point, start it again, and wait for the answer.

    Nothing else may be sent to it at that time. Raises: TourError when a claim is not decided in `PATIENCE` seconds.
    """
    for point in POINTS:
        yield await recovery(contender, lab, point)


async def recovery(contender: Contender, lab: Lab, point: Point) -> Recovery:
    """Kill the agent at this point of a claim, start it again, and wait for the answer. Raises: as `recoveries`."""
    undisturbed = await in_time(contender, contender.send(*a_claim()))
    id, claim = a_claim()
    lab.plan(*(replace(fault, framework=contender.name, about=id) for fault in point.faults))
    began = time.time()

    def entries() -> list[Entry]:
        return [entry for entry in lab.ledger(contender.name) if entry.at >= began]

    sending = asyncio.create_task(contender.send(id, claim))
    try:
        await in_time(contender, _until(lambda: sending.done() or point.reached(entries())))
        await asyncio.sleep(point.settle)
        killed, clock = time.time(), time.perf_counter()
        await contender.kill()
        await contender.start()
        ready = time.perf_counter() - clock
        answer = await in_time(contender, sending)
        answered = time.perf_counter() - clock
    finally:
        sending.cancel()
        await asyncio.gather(sending, return_exceptions=True)
    checks, calls = repeated(entries(), killed)
    return Recovery(
        name=contender.name,
        title=contender.title,
        point=point.name,
        ready=ready,
        answered=answered,
        repeated_checks=[check for check in checks if check != point.unstored],
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


def a_claim() -> tuple[str, InsuranceClaim]:
    """An id, and a claim with the id in its reason, so that the lab's faults and the model's answers are its own."""
    id = uuid.uuid4().hex
    claim = sample_claims()["broken-leg"]
    return id, claim.model_copy(update={"reason": f"{claim.reason} {id}"})


async def _until(seen: Callable[[], bool]) -> None:
    while True:
        if seen():
            return
        await asyncio.sleep(POLL)


async def in_time(contender: Contender, work: Awaitable[T]) -> T:
    try:
        return await asyncio.wait_for(work, PATIENCE)
    except TimeoutError:
        raise TourError(f"{contender.title} has not decided in {PATIENCE:.0f} s.", "Look at its log.") from None
