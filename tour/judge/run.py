"""`tour judge`: the trials in their order, and the verdict for a person, a program or a browser."""

import shlex
import sys
import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import typer
from rich.console import Console
from rich.text import Text

from tour.judge.trials import PATIENCE, Court, Target, Trial, court
from tour.judge.verdict import Verdict, judge
from tour.judge.world import Numbered, Plan, numbered
from tour.report import TEMPLATES, Files
from tour.runtime import processes
from tour.runtime.processes import free_port

BAD = {"no body": b"", "an empty object": b"{}", "a list": b"[]"}
"""Bad bodies for a handler that takes an object."""

BRIEFLY, LONG = 0.2, 1.0
"""Seconds that a request takes: so that a kill hits the intended entry; and while a sibling fails at once."""

ENOUGH = 3
"""The number of trials of a kind that do not end, after which the rest of the kind is left out."""

NOTHING = Plan()

APART = 0.05
"""Seconds between the answers of concurrent requests, in the first run."""


async def run(
    command: Sequence[str | Path], url: str, port: int, path: str, body: bytes, files: Files, console: Console
) -> None:
    """Judge the service that the command starts on this port (0: a free one), or that listens at `url`.

    Raises: TourError; typer.Exit with code 1 if a promise is broken.
    """
    target = Target(command, url or f"http://127.0.0.1:{port or free_port()}", path, body)
    with tempfile.TemporaryDirectory(prefix="tour-judge-") as name:
        folder = Path(name)
        async with _model(folder) as upstream, court(target, upstream, folder) as held:
            what = shlex.join(map(str, target.command)) or f"{target.url}, without kills: the judge has not started it"
            console.print(f"Judging {target.path}: {what}", soft_wrap=True, highlight=False)
            verdict = await _judged(held, console)
    show(verdict, console)
    page = TEMPLATES.get_template("judge.html")
    files.write(verdict.model_dump_json(indent=2) + "\n", lambda: page.render(verdict=verdict))
    if verdict.broken:
        raise typer.Exit(1)


async def _judged(held: Court, console: Console) -> Verdict:
    async def tried(title: str, plan: Plan = NOTHING, kill_at: int = 0, kill_in: Numbered | None = None) -> Trial:
        trial = await held.run(title, plan, kill_at, kill_in)
        if trial.kills and kill_at:
            trial.title = f"kill -9 after entry {trial.killed_at} of the journal"
        if names := ", ".join(name for name, _ in trial.in_flight):
            trial.title += f" (in flight: {names})"
        console.print(f"  {trial.title}: {trial.seconds:.1f} s", style="dim", highlight=False, soft_wrap=True)
        return trial

    first = [await tried("undisturbed", Plan(apart=APART)), await tried("undisturbed, again")]
    usual = first[0]
    if not all(trial.answer for trial in first):
        return judge(held.target.path, first, [], await _refusals(held, console), held.with_calls)
    calls = numbered(call.title for call in usual.calls)
    held.patience = 3 * max(trial.seconds for trial in first) + PATIENCE
    await held.suspending("0s")
    trials = [await tried("a replay at each await")]
    await held.suspending("1m")
    after, before, within, failing = list[Trial](), list[Trial](), list[Trial](), list[Trial]()
    if held.process:
        entries = 1
        while entries < usual.entries and _tells_more(after):
            after += [await tried("the journal ended before a kill", Plan(slow=BRIEFLY), kill_at=entries)]
            entries = max(entries, after[-1].killed_at) + 1  # entries that were sent to Restate together are one crash
        for call in calls:
            if _tells_more(before):
                before += [await tried(f"kill -9 before the answer to {_named(call)}", Plan(hold=call))]
        for run in numbered(step.name for step in usual.runs):
            if _tells_more(within) and not any(run in trial.in_flight for trial in [*after, *before, *within]):
                within += [await tried(f"kill -9 in the middle of {_named(run)}", kill_in=run)]
    held.patience += 2 * LONG * len(calls)
    for call in calls:
        if _tells_more(failing):
            failing += [await tried(f"a failure of {_named(call)}", Plan(fail=call, slow=LONG))]
    trials += [*after, *before, *within, *failing]
    return judge(held.target.path, first, trials, await _refusals(held, console), held.with_calls)


async def _refusals(held: Court, console: Console) -> dict[str, int]:
    """The status of the answer to each bad body."""
    refusals = {}
    for title, body in (BAD | {"half of the JSON": held.target.body[: len(held.target.body) // 2]}).items():
        console.print(f"  bad input: {title}", style="dim", highlight=False)
        refusals[title] = await held.refused(body)
    return refusals


def _tells_more(kind: Sequence[Trial]) -> bool:
    """Whether another trial of this kind is worth its time: a trial that does not end takes long."""
    return sum(not trial.answer for trial in kind) < ENOUGH


def _named(one: Numbered) -> str:
    name, before = one
    return f"{name} ({before + 1})" if before else name


@asynccontextmanager
async def _model(folder: Path) -> AsyncIterator[str]:
    """The offline model's address, until the block ends."""
    port = free_port()
    command = [sys.executable, "-m", "offline_model", "--port", str(port)]
    async with processes.running("The offline model", command, folder / "model.log") as model:
        url = f"http://127.0.0.1:{port}"
        await model.until(f"{url}/health")
        yield url


def show(verdict: Verdict, console: Console) -> None:
    """Print the verdict: each promise, and the evidence of broken ones."""
    console.print()
    marks = {True: ("holds    ", "green"), False: ("broken   ", "bold red"), None: ("not seen ", "yellow")}
    for promise in verdict.promises:
        word, style = marks[promise.holds]
        console.print(Text(word, style) + Text(f"{promise.name} ({promise.seen})"))
        for line in promise.broken[:5]:
            console.print(Text(f"           {line}", "red"))
        if len(promise.broken) > 5:
            console.print(f"           and {len(promise.broken) - 5} more", style="red")
    for line in verdict.unseen:
        console.print(Text("not seen ", "yellow") + Text(line))
    cost = verdict.cost
    console.print(
        f"\nScore: {verdict.score} promises, {verdict.trials} trials. "
        f"Undisturbed: {cost.entries} entries, {cost.bytes:,} bytes, {cost.seconds:.2f} s, {cost.cpu:.2f} s of CPU.",
        highlight=False,
    )
