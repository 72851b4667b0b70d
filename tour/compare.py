"""The main job: one claim to all frameworks at once, and what came of it, side by side."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich import box
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from shared.claims import InsuranceClaim
from tour import journal
from tour.frameworks import Framework
from tour.journal import Invocation, Step
from tour.stack import Stack


@dataclass(frozen=True)
class Result:
    """What one framework made of the claim."""

    framework: Framework
    answer: str
    invocation: Invocation
    page: str


async def send_to_all(
    stack: Stack, frameworks: Sequence[Framework], claim: InsuranceClaim, console: Console
) -> list[Result]:
    """Send the claim to each framework at the same moment, and show how they get on."""
    session = f"tour-{time.time_ns()}"
    ids = dict(
        zip(
            frameworks,
            await asyncio.gather(*(stack.submit(framework, claim, "tour", session) for framework in frameworks)),
            strict=True,
        )
    )
    answers = {framework: asyncio.create_task(stack.answer(id)) for framework, id in ids.items()}
    with Live(console=console, transient=True, refresh_per_second=10) as live:
        while True:
            done = all(task.done() for task in answers.values())  # before reading: the last reading is complete
            invocations = await journal.read(stack.admin, *ids.values())
            live.update(_progress(frameworks, [invocations.get(ids[framework]) for framework in frameworks]))
            if done:
                break
            await asyncio.wait(answers.values(), timeout=0.1)
    return [
        Result(framework, answers[framework].result(), invocations[id], stack.page(id)) for framework, id in ids.items()
    ]


def table(results: Sequence[Result]) -> Table:
    """The comparison in figures, all from Restate's journal."""
    shown = Table(box=box.SIMPLE_HEAD)
    for name in ("framework", "decision"):
        shown.add_column(name, no_wrap=name == "framework")
    for name in ("total", "model", "parallelism", "entries"):
        shown.add_column(name, justify="right")
    for result in results:
        invocation = result.invocation
        shown.add_row(
            result.framework.title,
            _verdict(result.answer),
            f"{invocation.total / 1000:.2f} s",
            f"{invocation.model_time / 1000:.2f} s",
            f"{invocation.parallelism:.2f} x",
            str(invocation.entries),
        )
    return shown


def timelines(results: Sequence[Result], width: int) -> Table:
    """When each step ran, on one scale for all: a row for each check, since they run in parallel."""
    longest = max(result.invocation.total for result in results)
    names = max(len(result.framework.title) for result in results)
    bar = max(20, width - names - len("eligibility") - 3)
    shown = Table.grid(padding=(0, 1))
    shown.add_row("", "", Text(f"0{f'{longest / 1000:.2f} s':>{bar - 1}}", style="dim", no_wrap=True))
    for result in results:
        invocation = result.invocation
        for number, check in enumerate(invocation.checks or (None,)):
            calls = [] if number else [(step, "█", "cyan") for step in invocation.model_calls]
            steps = [*calls, *([(check, "━", "green")] if check else [])]
            line = _bar(invocation.created, longest, bar, steps)
            title = "" if number else result.framework.title
            shown.add_row(title, Text(check.name[:11] if check else "", style="dim"), line)
    shown.add_row("", "", Text("█ model call  ━ check  (first claims of fresh processes)", style="dim", no_wrap=True))
    return shown


def _bar(origin: float, longest: float, width: int, steps: Sequence[tuple[Step, str, str]]) -> Text:
    """The steps as marks on a line of `width` characters that stands for `longest` ms."""
    line = Text(" " * width, no_wrap=True)
    for step, mark, style in steps:
        first = int((step.start - origin) / longest * (width - 1))
        last = int(((step.end or step.start) - origin) / longest * (width - 1))
        plain = line.plain[:first] + mark * (last - first + 1) + line.plain[last + 1 :]
        line = Text(plain, spans=line.spans, no_wrap=True)
        line.stylize(style, first, last + 1)
    return line


def _verdict(answer: str) -> Text:
    word = answer.partition(":")[0]
    styles = {"Approved": "green", "Rejected": "red", "Needs review": "yellow"}
    return Text(word if word in styles else answer, style=styles.get(word, ""))


def _progress(frameworks: Sequence[Framework], invocations: Sequence[Invocation | None]) -> Table:
    shown = Table.grid(padding=(0, 2))
    for framework, invocation in zip(frameworks, invocations, strict=True):
        shown.add_row(framework.title, _state(invocation))
    return shown


def _state(invocation: Invocation | None) -> str:
    if invocation is None:
        return "sent"
    if invocation.completed:
        return "done"
    running = [step.name for step in invocation.steps if step.end is None]
    failed = f" ({len(invocation.failures)} failed attempts)" if invocation.failures else ""
    return (", ".join(running) or "between two steps") + failed
