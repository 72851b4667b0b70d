"""The growth of an invocation's latency with the steps of a fan-out, the bytes of a payload, the turns of a session."""

import itertools
import math
import statistics
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel
from rich.console import Console
from rich.progress import Progress

from bench.measuring import Extent
from shared.claims import sample_claims
from tour.runtime import journal, stack
from tour.runtime.errors import TourError
from tour.runtime.frameworks import BY_NAME, ROOT, Framework, Pattern

LOOP = BY_NAME["restate_loop"]
"""The framework under whose name the service of any number of steps runs."""

SERVICE = Pattern("growth", "growth", str(ROOT / "bench" / "growth_service.py"), "Growth")
STEP = 0.1
"""Seconds that each step takes in half of the fan-outs. In the other half, steps take no time."""

STORED = "session_store::session-123"
"""The state entry in which Restate's integrations keep a session."""

AROUND = 5
"""The number of turns before a turn, and from it on, whose median latency stands for that turn."""


class Steps(BaseModel):
    """Invocations with this number of parallel steps, which take no time or `STEP`: the latencies of both, in ms."""

    steps: int
    instant: list[float]
    slow: list[float]


class Payload(BaseModel):
    """Invocations with an input of `size` bytes, which is also the result of three steps. Latencies in ms."""

    size: int
    latencies: list[float]


class Session(BaseModel):
    """Claims in one session, one after the other.

    `latencies` has that of each turn, in ms. `stored` is the size of the session in bytes, by the number of turns; each
    turn reads and writes the whole session.
    """

    framework: str
    title: str
    latencies: list[float]
    stored: dict[int, int]


class Growth(BaseModel):
    """The results. `refused` is the answer to a claim that is too large, such as `400: …`."""

    steps: list[Steps]
    payloads: list[Payload]
    sessions: list[Session]
    refused: str


async def growth(folder: Path, frameworks: Sequence[Framework], extent: Extent, console: Console) -> Growth:
    """Measure all points in turn, once for each block. Raises: TourError when an invocation fails."""
    measured = Growth(
        steps=[Steps(steps=steps, instant=[], slow=[]) for steps in extent.steps],
        payloads=[Payload(size=size, latencies=[]) for size in extent.payloads],
        sessions=[],
        refused="",
    )
    with Progress(console=console, transient=True) as progress:
        bar = progress.add_task("Growth: steps and payloads", total=extent.blocks)
        async with stack.running(folder / "growth", frameworks=[LOOP], pattern=SERVICE) as running:
            for _ in range(extent.blocks):
                for point in measured.steps:
                    point.instant.append(await timed(running, steps=point.steps))
                    point.slow.append(await timed(running, steps=point.steps, seconds=STEP))
                for sent in measured.payloads:
                    sent.latencies.append(await timed(running, steps=3, payload="x" * sent.size))
                progress.advance(bar)
        keeping = [framework for framework in frameworks if framework.keyed]
        bar = progress.add_task("Growth: sessions", total=len(keeping) * extent.blocks * (max(extent.turns) + AROUND))
        for framework in keeping:
            async with stack.running(folder / "sessions", frameworks=[framework]) as running:
                for _ in range(extent.blocks):
                    session = await _session(running, framework, extent.turns, lambda: progress.advance(bar))
                    measured.sessions.append(session)
        async with stack.running(folder / "refused", frameworks=frameworks[:1]) as running:
            large = sample_claims()["broken-leg"].model_copy(update={"reason": "x" * max(extent.payloads)})
            body = frameworks[0].body(large)
            response = await running.ingress.post(f"/restate/call/{frameworks[0].path()}", json=body)
            measured.refused = f"{response.status_code}: {response.json()['message']}"
    return measured


async def timed(running: stack.Stack, **work: Any) -> float:
    """Run an invocation of this `Work` (growth_service.py); its latency in ms. Raises: TourError when it fails."""
    sent = time.perf_counter()
    response = await running.ingress.post(f"/restate/call/{LOOP.path(pattern=SERVICE)}", json=work)
    latency = (time.perf_counter() - sent) * 1000
    if response.text != str(work["steps"]):
        raise TourError(f"{work['steps']} steps: {response.text}", "Its journal may be too large.")
    return latency


async def _session(
    running: stack.Stack, framework: Framework, turns: Iterable[int], advance: Callable[[], None]
) -> Session:
    claim, user = sample_claims()["broken-leg"], uuid.uuid4().hex
    session = Session(framework=framework.name, title=framework.title, latencies=[], stored={})
    for turn in range(1, max(turns) + AROUND + 1):
        sent = time.perf_counter()
        response = await running.ingress.post(f"/restate/call/{framework.path(user)}", json=framework.body(claim))
        session.latencies.append((time.perf_counter() - sent) * 1000)
        if response.status_code != 200 or (f"(claim {turn} in this session)" not in response.json() and turn > 1):
            raise TourError(
                f"Turn {turn} of a session: {response.status_code} {response.text}", "Try `uv run tour` first."
            )
        if turn in turns:
            session.stored[turn] = await journal.stored(running.admin, framework.service(), user, STORED)
        advance()
    return session


def around(session: Session, turn: int) -> float:
    """The median latency of the turns around this one, in ms."""
    return statistics.median(session.latencies[max(0, turn - AROUND) : turn + AROUND])


def exponents(points: Sequence[tuple[float, float]]) -> list[float]:
    """The exponent with which the time grows from each point (size, time) to the next: 1 is linear."""
    return [
        math.log(later / time) / math.log(more / size) for (size, time), (more, later) in itertools.pairwise(points)
    ]
