"""One claim to all frameworks at once, as often as asked, with the faults that were planned."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence

from rich.console import Console
from rich.live import Live
from rich.table import Table

from lab.ledger import Fault, Kind
from shared.claims import InsuranceClaim
from tour import report
from tour.report import Run
from tour.runtime import journal
from tour.runtime.errors import TourError
from tour.runtime.frameworks import FAN_OUT, Framework, Pattern
from tour.runtime.journal import Invocation
from tour.runtime.stack import CHECKS, Stack

MODEL_FAULTS: dict[str, tuple[Kind, float]] = {
    "429": ("status", 429),
    "500": ("status", 500),
    "503": ("status", 503),
    "cut": ("cut", 0),
    "truncate": ("truncate", 0),
}


def faults(
    fail: Iterable[str] = (),
    crash: Iterable[str] = (),
    crash_after: Iterable[str] = (),
    terminal: Iterable[str] = (),
    delay: Iterable[str] = (),
    model: Iterable[str] = (),
) -> list[Fault]:
    """The faults that these options of the command line ask for.

    `fraud=2` or `fraud` (fail, model), `cost` (crash, crash_after), `cost=422` (terminal), `1s` for all checks or
    `fraud=1.5` (delay). Raises: TourError that names the option.
    """
    planned = []
    for option in delay:
        step, _, seconds = option.rpartition("=")
        value = _number("--delay", option, seconds.removesuffix("s"))
        planned += [Fault(each, "delay", value) for each in ([_check("--delay", step)] if step else CHECKS)]
    for option in fail:
        step, _, times = option.partition("=")
        planned.append(Fault(_check("--fail", step), "fail", times=int(_number("--fail", option, times or "1"))))
    for option in terminal:
        step, _, status = option.partition("=")
        value = _number("--terminal", option, status or "500")
        if not 400 <= value < 600:
            raise TourError(f"--terminal {option}: {status} is no HTTP status of an error.", "Such as cost=422.")
        planned.append(Fault(_check("--terminal", step), "terminal", value))
    planned += [Fault(_check("--crash", step), "crash-before") for step in crash]
    planned += [Fault(_check("--crash-after", step), "crash-after") for step in crash_after]
    for option in model:
        name, _, times = option.partition("=")
        if name not in MODEL_FAULTS:
            raise TourError(
                f"--model-fault {option}: there is no such fault.", f"Choose from {', '.join(MODEL_FAULTS)}."
            )
        kind, value = MODEL_FAULTS[name]
        planned.append(Fault("model", kind, value, times=int(_number("--model-fault", option, times or "1"))))
    return planned


def _check(option: str, step: str) -> str:
    if step not in CHECKS:
        raise TourError(f"{option}: there is no check {step!r}.", f"Choose from {', '.join(CHECKS)}.")
    return step


def _number(option: str, given: str, number: str) -> float:
    with contextlib.suppress(ValueError):
        if 0 <= (value := float(number)) < 3600:
            return value
    raise TourError(f"{option} {given}: {number!r} is no number of this option.", "Such as fraud=2, or 1.5s.")


async def compare(
    stack: Stack,
    frameworks: Sequence[Framework],
    claim: InsuranceClaim,
    repeat: int,
    console: Console,
    pattern: Pattern = FAN_OUT,
) -> dict[Framework, list[Run]]:
    """Send the claim to each framework's agent of a pattern at the same moment, `repeat` times; shows how they get on.

    An agent whose process ends meanwhile, as by a planned crash, is started again.
    """
    runs: dict[Framework, list[Run]] = {framework: [] for framework in frameworks}
    async with stack.agents_kept():
        for number in range(repeat):
            title = f"claim {number + 1} of {repeat}" if repeat > 1 else ""
            made = await _once(stack, frameworks, claim, console, title, pattern)
            for framework, run in zip(frameworks, made, strict=True):
                runs[framework].append(run)
    return runs


async def _once(
    stack: Stack,
    frameworks: Sequence[Framework],
    claim: InsuranceClaim,
    console: Console,
    title: str,
    pattern: Pattern,
) -> list[Run]:
    session = f"tour-{time.time_ns()}"
    ids = await asyncio.gather(
        *(stack.submit(framework, claim, "tour", session, pattern=pattern) for framework in frameworks)
    )
    answers = [asyncio.create_task(stack.answer(id)) for id in ids]
    with Live(console=console, transient=True, refresh_per_second=10) as live:
        while True:
            done = all(task.done() for task in answers)  # before reading: the last reading is complete
            invocations = await journal.read(stack.admin, *ids)
            live.update(_progress(title, frameworks, [invocations.get(id) for id in ids]))
            if done:
                break
            await asyncio.wait(answers, timeout=0.1)
    tokens = await journal.tokens(stack.admin, *ids)
    ledger = stack.lab.ledger(invocations=ids)
    return [
        report.run_of(answer.result(), invocations[id], ledger, tokens[id], stack.page(id))
        for id, answer in zip(ids, answers, strict=True)
    ]


def _progress(title: str, frameworks: Sequence[Framework], invocations: Sequence[Invocation | None]) -> Table:
    shown = Table.grid(padding=(0, 2))
    for framework, invocation in zip(frameworks, invocations, strict=True):
        shown.add_row(title, framework.title, _state(invocation))
    return shown


def _state(invocation: Invocation | None) -> str:
    if invocation is None:
        return "sent"
    if invocation.completed:
        return "done"
    running = [step.name for step in invocation.steps if step.end is None]
    failed = f" ({len(invocation.failures)} failed attempts)" if invocation.failures else ""
    return (", ".join(running) or "between two steps") + failed
