"""`tour workshop`: list, start, check and solve the chapters."""

import itertools
import os
import webbrowser
from collections.abc import Container
from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markdown import Markdown
from rich.markup import escape
from rich.syntax import Syntax
from rich.table import Table

from tour.runtime.errors import TourError
from tour.runtime.frameworks import ROOT
from tour.runtime.run import until_done
from workshop import chapters, hints
from workshop import slides as slides_
from workshop import watch as watching
from workshop.attempt import Attempt, Wrong
from workshop.chapters import CHAPTERS, Chapter

cli = typer.Typer(help="Learn durable parallel agents, in two parts. Without a command: chapters and progress.")
console = Console()

Number = Annotated[int, typer.Argument(help="The chapter's number.")]


@cli.callback(invoke_without_command=True)
def workshop(context: typer.Context) -> None:
    """List the chapters and your progress."""
    if context.invoked_subcommand:
        return
    done = chapters.done()
    shown = Table.grid(padding=(0, 2))
    for _ in ("mark", "number", "title", "minutes"):
        shown.add_column(no_wrap=True)
    shown.add_column(overflow="fold")  # only a long path is broken
    for part, group in itertools.groupby(CHAPTERS, lambda chapter: chapter.part):
        shown.add_row("", "", f"[dim]part {part}:[/]")
        for chapter in group:
            mark = "[green]✓[/]" if chapter.number in done else "▸" if chapter.mine.exists() else " "
            where = _shown(chapter) if chapter.mine.exists() else ""
            shown.add_row(mark, f"{chapter.number:>2}", chapter.title, f"{chapter.minutes:>2} min", f"[dim]{where}[/]")
    console.print(shown)
    _next(done)


@cli.command()
def start(number: Number) -> None:
    """Start a chapter: copy its exercise to your file."""
    chapter = chapters.chapter(number)
    fresh = chapters.start(chapter)
    _say(f"Read   {chapter.folder.relative_to(ROOT)}/README.md")
    _say(f"Edit   {_shown(chapter)}{'' if fresh else ' (your file, unchanged)'}")
    _say(f"Check  uv run tour workshop check {number}")


@cli.command()
def check(number: Number) -> None:
    """Run your file on a real Restate server, and report the result."""
    chapter = _started(number)
    until_done(_check(chapter))


@cli.command()
def watch(number: Number) -> None:
    """Check your file now, and each time you save it, until Ctrl-C."""
    until_done(_watch(_started(number)))


@cli.command()
def hint(
    number: Number,
    again: Annotated[bool, typer.Option("--again", help="Show only the hints that you have seen.")] = False,
    all_: Annotated[bool, typer.Option("--all", help="Show all hints.")] = False,
) -> None:
    """Show the next hint of a chapter; each leads further."""
    chapter = chapters.chapter(number)
    shown = hints.seen(chapter) if again else hints.all_of(chapter) if all_ else hints.next_of(chapter)
    for hint in shown:
        console.print(f"[bold]Hint {hint.number} of {hint.of}[/]", highlight=False)
        console.print(Markdown(hint.text))
    if not shown:
        _say("You have seen no hint yet." if again else "You have seen all hints. Show them again: --again")


@cli.command()
def solution(
    number: Number,
    write: Annotated[bool, typer.Option("--write", help="Replace your file by it, and keep the old one.")] = False,
) -> None:
    """Show the solution, or replace your file by it."""
    chapter = chapters.chapter(number)
    if chapter.open:
        raise TourError(
            f"Chapter {number} is open: it has no solution to show.", f"A hint: uv run tour workshop hint {number}"
        )
    if write:
        _replaced(chapter, chapters.put(chapter, chapter.solution), "the solution")
    else:
        console.print(Syntax(chapter.solution.read_text(), "python", background_color="default"))


@cli.command()
def reset(number: Number) -> None:
    """Start a chapter again, and keep your file under another name."""
    chapter = _started(number)
    _replaced(chapter, chapters.put(chapter, chapter.exercise), "the exercise")
    chapters.mark(chapter, passed=False)
    hints.forget(chapter)


@cli.command()
def slides(
    open_: Annotated[bool, typer.Option("--open", help="Open them in the browser.")] = False,
) -> None:
    """Render the teacher's slides to one self-contained HTML page."""
    until_done(_slides(open_))


async def _slides(open_: bool) -> None:
    try:
        await slides_.render(slides_.PAGE, _say)
    except TourError as error:
        raise TourError(error.problem, f"The slides of the last rendering: {slides_.PAGE}") from error
    _say(f"The slides: {slides_.PAGE}")
    if open_ and not webbrowser.open(slides_.PAGE.as_uri()):
        _say("Cannot open a browser from here: open that file yourself.")


NOT_HERE = (
    *("OPENAI_API_KEY", "OPENAI_BASE_URL", "GOOGLE_API_KEY", "GEMINI_API_KEY", "GOOGLE_GEMINI_BASE_URL"),
    *("RESTATE_INGRESS_URL", "RESTATE_ADMIN_URL"),
)
"""Variables that a check ignores, because it expects the answers of the offline model."""


async def _check(chapter: Chapter) -> None:
    _without_provider()
    if not await _passes(chapter, Attempt(chapter.mine, console)):
        raise typer.Exit(1)
    _next(chapters.done(), after=chapter.number)


async def _watch(chapter: Chapter) -> None:
    _without_provider()
    await watching.watch(chapter.mine, partial(_passes, chapter), console)


def _without_provider() -> None:
    for name in NOT_HERE:
        os.environ.pop(name, None)


async def _passes(chapter: Chapter, attempt: Attempt) -> bool:
    """Check the attempt, print the result, and record it if it is right."""
    console.print(f"[bold]Chapter {chapter.number}: {chapter.title}[/]", highlight=False)
    try:
        await chapter.check.check(attempt)
    except Wrong as wrong:
        console.print(f"[red]✗[/] {escape(wrong.problem)}", soft_wrap=True, highlight=False)
        for line in wrong.shown:
            console.print(f"    {escape(line)}", soft_wrap=True, highlight=False)
        _say(f"A hint: uv run tour workshop hint {chapter.number}")
        return False
    chapters.mark(chapter, passed=True)
    return True


def _started(number: int) -> Chapter:
    chapter = chapters.chapter(number)
    if not chapter.mine.exists():
        raise TourError(f"You have not started chapter {number}.", f"Start it: uv run tour workshop start {number}")
    return chapter


def _replaced(chapter: Chapter, kept: Path | None, by: str) -> None:
    _say(f"{_shown(chapter)} is now {by}.")
    if kept:
        _say(f"Your previous file is kept as {kept}")


def _shown(chapter: Chapter) -> str:
    path = chapter.mine
    return str(path.relative_to(ROOT) if path.is_relative_to(ROOT) else path)


def _next(done: Container[int], after: int = -1) -> None:
    """Name the first open chapter after this one, or else the first open one before it."""
    in_order = (*CHAPTERS[after + 1 :], *CHAPTERS[: after + 1])
    left = next((chapter for chapter in in_order if chapter.number not in done), None)
    if left is None:
        _say("All chapters are done.")
        return
    command = "check" if left.mine.exists() else "start"
    _say(f"Next: uv run tour workshop {command} {left.number}")


def _say(line: str) -> None:
    console.print(line, soft_wrap=True, highlight=False)
