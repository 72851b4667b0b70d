"""`tour compare`: one claim to all frameworks at once, with planned faults, and the results."""

import asyncio
import contextlib
import time
from collections.abc import Iterable, Sequence

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table

from lab.ledger import Fault, Kind
from shared.claims import InsuranceClaim
from tour import report, show
from tour.boot import booted, say
from tour.report import NO_FILES, Files, Run
from tour.runtime import approvals, journal
from tour.runtime.errors import TourError
from tour.runtime.frameworks import FAN_OUT, PATTERNS, Framework, Pattern
from tour.runtime.journal import Invocation
from tour.runtime.restate_server import Ports
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
    """The faults that these options of the command line plan.

    Each value has the form `fraud` or `fraud=2` (fail), `500` or `500=2` (model), `cost` (crash, crash_after),
    `cost=422` (terminal), `1s` for all checks or `fraud=1.5` for one (delay). Raises: TourError that names the option.
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
            raise TourError(f"--terminal {option}: {status} is not the HTTP status of an error.", "Such as cost=422.")
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
    raise TourError(f"{option} {given}: {number!r} is not a valid number.", "Such as fraud=2, or 1.5s.")


async def side_by_side(
    frameworks: Sequence[Framework],
    claim: InsuranceClaim,
    model_latency: float,
    step_latency: float,
    console: Console,
    faults: Sequence[Fault] = (),
    repeat: int = 1,
    files: Files = NO_FILES,
    *,
    details: bool = False,
) -> None:
    """Compare the frameworks on a separate stack, and show the results; latencies in seconds.

    `details` adds the facts from their code. Raises: TourError; typer.Exit with code 1 if a claim ends with an error
    without a planned fault.
    """
    async with booted(frameworks, model_latency, step_latency, console, forked=len(frameworks) > 2) as running:
        console.print(f"Claim: {claim.model_dump_json()}", soft_wrap=True, highlight=False)
        running.lab.plan(*faults)
        runs = await compare(running, running.frameworks, claim, repeat, console)
        made = report.report_of(
            runs,
            claim=claim,
            model=running.model,
            model_latency=model_latency,
            step_latency=step_latency,
            faults=faults,
        )
        _show(made, console, details=details)
        if running.restate.process and running.restate.admin.endswith(f":{Ports().admin}"):
            console.print("The journals are kept: these pages open in the Restate UI while `uv run tour up` runs.")
        elif running.restate.process:
            console.print("This run used a separate Restate on free ports: its journals and pages are gone.")
        files.write(made.model_dump_json(indent=2, ensure_ascii=True) + "\n", lambda: report.html(made))
        if files.html:
            console.print(f"Report: {files.html}", soft_wrap=True, highlight=False)
    if not faults and any(run.verdict == "error" for framework in made.frameworks for run in framework.runs):
        raise typer.Exit(1)


def _show(made: report.Report, console: Console, *, details: bool) -> None:
    console.print(show.figures(made))
    if made.faults:
        console.print(show.faults(made))
    console.print(show.timelines({f.title: f.runs[-1] for f in made.frameworks}, console.width))
    if all(len(framework.runs) == 1 for framework in made.frameworks):
        console.print("First claims of fresh processes: `--repeat 3` shows warm ones.", style="dim")
    if details:
        console.print(show.read_from_the_code(made))
    show.answers(made, console)


async def every_way(
    frameworks: Sequence[Framework],
    claim: InsuranceClaim,
    model_latency: float,
    step_latency: float,
    console: Console,
    faults: Sequence[Fault],
) -> None:
    """Send the claim to the agents of each pattern, and show the timelines of each framework's second, warm claim.

    If an agent asks a person, the person approves. Latencies in seconds. Raises: TourError.
    """
    runs: dict[str, dict[Framework, list[Run]]] = {}
    async with booted(frameworks, model_latency, step_latency, console, forked=len(frameworks) > 2) as running:
        running.lab.plan(*faults)
        async with approvals.approving_all(running.admin, running.ingress, "tour compare"):
            for pattern in PATTERNS:
                say(console)(f"{pattern.title}: {pattern.file}")
                await running.add(pattern)
                able = [agent.framework for agent in running.agents_of(pattern).values()]
                runs[pattern.title] = await compare(running, able, claim, 2, console, pattern)
    for framework in running.frameworks:
        console.print(f"\n{framework.title}", style="bold")
        console.print(
            show.timelines(
                {title: made[framework][-1] for title, made in runs.items() if framework in made}, console.width
            )
        )


async def compare(
    stack: Stack,
    frameworks: Sequence[Framework],
    claim: InsuranceClaim,
    repeat: int,
    console: Console,
    pattern: Pattern = FAN_OUT,
) -> dict[Framework, list[Run]]:
    """Send the claim to each framework's agent of a pattern at the same moment, `repeat` times; shows the progress.

    Agents whose process ends, as after a planned crash, start again. Returns the runs in order.
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
    async with asyncio.TaskGroup() as group:
        answers = [group.create_task(stack.answer(id)) for id in ids]
        with Live(console=console, transient=True, refresh_per_second=10) as live:
            while True:
                done = all(task.done() for task in answers)  # before reading, so that the last reading is complete
                invocations = await journal.read(stack.admin, *ids)
                live.update(progress(title, frameworks, [invocations.get(id) for id in ids]))
                if done:
                    break
                await asyncio.wait(answers, timeout=0.1)
    tokens = await journal.tokens(stack.admin, *ids)
    ledger = stack.lab.ledger(invocations=ids)
    return [
        report.run_of(answer.result(), invocations[id], ledger, tokens[id], stack.page(id))
        for id, answer in zip(ids, answers, strict=True)
    ]


def progress(title: str, frameworks: Sequence[Framework], invocations: Sequence[Invocation | None]) -> Table:
    """A line for each framework: its running steps, or the state of its invocation; None: not yet seen."""
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
