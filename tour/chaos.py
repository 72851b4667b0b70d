"""`tour chaos`: a seeded storm over all frameworks, and the verdict of Restate's journal and the lab's ledger.

Checks fail, the model is overloaded or hangs up, and agents and the Restate server are killed and started again. The
seed determines the whole plan before the first claim. The verdict says whether the promise was kept, and whether enough
faults struck to prove it.
"""

import asyncio
import contextlib
import os
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import httpx
import typer
from rich.console import Console
from rich.live import Live
from rich.text import Text

from lab.ledger import Entry, Fault
from shared import checks
from shared.claims import InsuranceClaim, sample_claims
from tour import compare
from tour.boot import say
from tour.runtime import evidence, journal, stack
from tour.runtime.errors import TourError
from tour.runtime.frameworks import FRAMEWORKS, Framework
from tour.runtime.journal import Invocation
from tour.runtime.stack import CHECKS, Stack
from tour.tables import FittedTable

IN_FLIGHT = 10
"""The number of claims in flight at the same time."""

IN_TIME = 120.0
"""Seconds after which a claim without an answer counts as lost."""

SERVER = "restate"

COUNTS = ("claims", "right", "steps run", "retried", "interrupted", "kills", "repeated", "redone")
"""The columns of the verdict's table: a number for each framework."""

MODEL_FAULTS = [fault for name, fault in compare.MODEL_FAULTS.items() if name != "truncate"]
"""The faults after which the SDKs' clients retry. A truncated answer is not among them: it uses one of a model call's
three attempts, as does each kill of the agent, and both together may end a claim."""


@dataclass(frozen=True)
class Order:
    """One claim of the storm. Its reason is unique, so that its faults hit no other claim."""

    framework: Framework
    claim: InsuranceClaim
    faults: tuple[Fault, ...]


@dataclass(frozen=True)
class Storm:
    """The plan. Each of `kills` is a number of answers, and the process to kill then: a framework's, or `restate`."""

    orders: tuple[Order, ...]
    kills: tuple[tuple[int, str], ...]

    @property
    def faults(self) -> int:
        """The number of faults to inject; delays do not count."""
        return sum(fault.times for order in self.orders for fault in order.faults if fault.kind != "delay")


async def run(claims: int, seed: int, console: Console) -> None:
    """Run the storm of this seed on a separate stack, and show the verdict.

    Raises: TourError; typer.Exit with code 1, logs and journals kept, if the promise was broken or too little failed.
    """
    if os.environ.get("RESTATE_ADMIN_URL"):
        raise TourError("The storm kills the Restate server.", "Unset RESTATE_ADMIN_URL: then it starts one.")
    folder = Path(tempfile.mkdtemp(prefix="tour-chaos-"))
    async with stack.running(folder, say=say(console)) as running:
        storm = plan(claims, seed, running.frameworks)
        console.print(f"{claims} claims, seed {seed}: {storm.faults} faults, {len(storm.kills)} kills", highlight=False)
        seen = await rage(running, storm, console)
    verdict = await judge(storm, seen)
    show(verdict, seen.seconds, console)
    if not (verdict.kept and verdict.enough):
        console.print(f"Logs, journals and ledger: {folder}", highlight=False, soft_wrap=True)
        raise typer.Exit(1)
    shutil.rmtree(folder)


def plan(claims: int, seed: int, frameworks: Sequence[Framework] = FRAMEWORKS) -> Storm:
    """The storm of this seed over these frameworks. The same arguments give the same storm."""
    rng = random.Random(seed)
    samples = sample_claims()
    orders = []
    for number in range(claims):
        reason = f"storm {seed}, claim {number}."
        claim = samples[rng.choice(sorted(samples))].model_copy(update={"reason": reason})
        # One claim in 22 kills its agent, which restarts in seconds; 22 lets five or seven frameworks take turns.
        kind = "crash" if number % 22 == 7 else rng.choices(("fail", "model", "none"), weights=(5, 3, 2))[0]
        faults = tuple(replace(fault, about=reason) for fault in _faults(kind, rng))
        orders.append(Order(frameworks[number % len(frameworks)], claim, faults))
    victims = [rng.choice(frameworks).name for _ in range(max(1, claims // 25))]
    victims += [SERVER] * max(1, claims // 70)
    rng.shuffle(victims)
    return Storm(tuple(orders), tuple(((at + 1) * claims // (len(victims) + 2), it) for at, it in enumerate(victims)))


def _faults(kind: str, rng: random.Random) -> list[Fault]:
    check = rng.choice(CHECKS)
    siblings = [Fault(other, "delay", round(rng.uniform(0.2, 0.6), 2)) for other in CHECKS if other != check]
    match kind:
        case "fail":  # while its siblings are in flight
            return [*siblings, Fault(check, "fail", times=rng.randint(1, 3))]
        case "crash":
            return [*siblings, Fault(check, rng.choice(("crash-before", "crash-after")))]
        case "model":
            fault, value = rng.choice(MODEL_FAULTS)
            return [Fault("model", fault, value, turn=rng.randint(0, 1))]
    return []


@dataclass(frozen=True)
class Outcome:
    """The result of an order. `answers` are two readings of its answer; None if there was none in `IN_TIME`."""

    order: Order
    id: str
    answers: tuple[str | None, str | None]


@dataclass
class Witnessed:
    """The evidence for the verdict.

    `invocations` is the number of invocations that Restate has, `left` has the ids of those that are not completed;
    `outages` are the times (s since the epoch) between which the server was down; `kills` names the killed processes.
    """

    outcomes: Sequence[Outcome]
    journal: Mapping[str, Invocation]
    ledger: Sequence[Entry]
    invocations: int
    left: Sequence[str]
    outages: Sequence[tuple[float, float]]
    kills: Sequence[str]
    seconds: float


@dataclass
class Verdict:
    """The claims that violate each statement, and the planned and observed faults and kills.

    `table` has a row for each framework: its title, then the numbers of `COUNTS`.
    """

    violations: dict[str, list[str]]
    planned: int
    injected: int
    kills_planned: int
    kills: int
    table: Sequence[Sequence[str]]

    @property
    def kept(self) -> bool:
        return not any(self.violations.values())

    @property
    def enough(self) -> bool:
        """Whether all planned faults and kills took place."""
        return self.injected >= self.planned and self.kills >= self.kills_planned


async def judge(storm: Storm, seen: Witnessed) -> Verdict:
    """Compare the evidence with the promise."""
    once, redone, repeated = [], [], []
    frameworks = list(dict.fromkeys(outcome.order.framework for outcome in seen.outcomes))
    rows: dict[str, Counter[str]] = {framework.name: Counter() for framework in frameworks}
    for outcome in seen.outcomes:
        row, invocation = rows[outcome.order.framework.name], seen.journal.get(outcome.id)
        row["claims"] += 1
        expected = [await check.function(outcome.order.claim) for check in checks.CHECKS.values()]
        first, second = outcome.answers
        right = first is not None and first == second and all(result in first for result in expected)
        if right and invocation and invocation.status == "completed":
            row["right"] += 1
        else:
            once.append(f"{outcome.id} ({outcome.order.framework.name}): {first}")
        for step, runs in evidence.runs(invocation, seen.ledger, seen.outages).items() if invocation else ():
            row.update({"steps run": runs.starts, "retried": runs.retried, "interrupted": runs.interrupted})
            row.update({"repeated": runs.repeated, "redone": runs.redone})
            redone += [f"{outcome.id}: {step}"] * bool(runs.redone)
            repeated += [f"{outcome.id}: {step}"] * bool(runs.repeated)
    if seen.invocations != len(seen.outcomes):
        once.append(f"{seen.invocations} invocations of {len(seen.outcomes)} claims")
    crashes = Counter(entry.framework for entry in seen.ledger if entry.detail.startswith("crash-"))
    kills = Counter(seen.kills)
    for framework in frameworks:
        rows[framework.name]["kills"] = kills[framework.name] + crashes[framework.prefix()]
    return Verdict(
        violations={
            "every claim answered exactly once, and correctly": once,
            "no finished step ran again": redone,
            "no sibling of a failing step ran again": repeated,
            "no invocation left open": list(seen.left),
        },
        planned=storm.faults,
        injected=sum(entry.event == "injected" for entry in seen.ledger),
        kills_planned=len(storm.kills),
        kills=len(seen.kills),
        table=[(framework.title, *(str(rows[framework.name][count]) for count in COUNTS)) for framework in frameworks],
    )


async def rage(running: Stack, storm: Storm, console: Console) -> Witnessed:
    """Run the storm on a stack of all frameworks, and collect the evidence. Raises: TourError."""
    began, outages, kills = time.monotonic(), list[tuple[float, float]](), list[str]()
    running.lab.plan(*(fault for order in storm.orders for fault in order.faults))
    answered, turn = 0, asyncio.Semaphore(IN_FLIGHT)
    progressed = asyncio.Condition()

    async def serve(order: Order) -> Outcome:
        nonlocal answered
        async with turn:
            reason = order.claim.reason
            id = await _patient(lambda: running.submit(order.framework, order.claim, reason, "storm", reason))
            answer = None
            with contextlib.suppress(TimeoutError):
                answer = await asyncio.wait_for(_patient(lambda: running.answer(id)), IN_TIME)
        async with progressed:
            answered += 1
            progressed.notify_all()
        return Outcome(order, id, (answer, None))

    async def strike() -> None:
        for after, victim in storm.kills:
            async with progressed:
                await progressed.wait_for(lambda after=after: answered >= after)  # type: ignore[misc]
            if victim == SERVER:
                gone = time.time()
                await running.restate.restart()
                outages.append((gone, time.time()))
            else:
                await running.agents[victim].process.kill()  # `agents_kept` starts it again
            kills.append(victim)

    async def report() -> None:
        with Live(console=console, transient=True, refresh_per_second=4) as live:
            while True:
                injected = running.lab.injected()
                live.update(
                    f"{answered} of {len(storm.orders)} claims answered, {injected} of {storm.faults} faults injected, "
                    f"{len(kills)} of {len(storm.kills)} kills"
                )
                await asyncio.sleep(0.5)

    reporting = asyncio.create_task(report())
    try:
        async with running.agents_kept(), asyncio.TaskGroup() as group:
            group.create_task(strike())
            serving = [group.create_task(serve(order)) for order in storm.orders]
    finally:
        reporting.cancel()
        await asyncio.gather(reporting, return_exceptions=True)
    outcomes = [task.result() for task in serving]
    for at, outcome in enumerate(outcomes):
        if outcome.answers[0] is not None:
            outcomes[at] = replace(outcome, answers=(outcome.answers[0], await running.answer(outcome.id)))
    heads = await journal.query(running.admin, "SELECT id, status FROM sys_invocation")
    journals: dict[str, Invocation] = {}
    for at in range(0, len(outcomes), 50):
        journals |= await journal.read(running.admin, *(outcome.id for outcome in outcomes[at : at + 50]))
    return Witnessed(
        outcomes=outcomes,
        journal=journals,
        ledger=running.lab.ledger(),
        invocations=len(heads),
        left=[head["id"] for head in heads if head["status"] != "completed"],
        outages=outages,
        kills=kills,
        seconds=time.monotonic() - began,
    )


async def _patient(ask: Callable[[], Awaitable[str]]) -> str:
    """Restate's answer; asks again while Restate is down. Raises: TourError when Restate refuses."""
    while True:
        try:
            return await ask()
        except (httpx.HTTPError, ValueError):  # while Restate starts, its answer may not be JSON
            await asyncio.sleep(0.2)
        except TourError as error:
            if "retry" not in error.problem and "unavailable" not in error.problem:
                raise
            await asyncio.sleep(0.2)


def show(verdict: Verdict, seconds: float, console: Console) -> None:
    """Print the verdict: a table, a line for each statement, and the claims that violate it."""
    console.print(FittedTable(["framework", *COUNTS], verdict.table))
    for statement, violations in verdict.violations.items():
        console.print(Text("violated  " if violations else "holds     ", "bold red" if violations else "green"), end="")
        console.print(statement, highlight=False)
        for violation in violations[:5]:
            console.print(f"          {violation}", highlight=False, markup=False, soft_wrap=True)
    console.print(
        f"{verdict.injected} of {verdict.planned} faults injected, {verdict.kills} of {verdict.kills_planned} kills, "
        f"{seconds:.0f} s",
        style="" if verdict.enough else "bold red",
        highlight=False,
    )
    if not verdict.enough:
        console.print("Not all planned faults and kills took place: this proves nothing.", style="bold red")
