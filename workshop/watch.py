"""`tour workshop watch`: checks a file each time it is saved, on a warm stack."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from datetime import datetime
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from watchfiles import Change, awatch

from tour.runtime.run import explained
from workshop.attempt import Attempt
from workshop.warm import Warm, warm

Check = Callable[[Attempt], Awaitable[bool]]
"""Checks an attempt, prints the result, and returns whether it passes."""

SETTLED = 100
"""Milliseconds to wait after a save, because an editor saves a file in several steps."""


async def watch(file: Path, check: Check, console: Console) -> None:
    """Check the file now, and each time it is saved; a save cancels a running check. This never returns.

    Raises: TourError if the stack cannot be started.
    """

    def say(line: str) -> None:
        console.print(line, style="dim", soft_wrap=True, highlight=False)

    say(f"Each time you save {file.name}, it is checked. Ctrl-C ends this.")
    async with warm(file, say) as running, asyncio.TaskGroup() as group:
        checking: asyncio.Task[None] | None = None
        async for _ in saves(file):
            if checking:
                checking.cancel()
                await asyncio.wait({checking})
            checking = group.create_task(_checked(file, check, console, running))


async def saves(file: Path) -> AsyncIterator[None]:
    """Yields now, and at each save of the file."""
    yield

    def ours(change: Change, path: str) -> bool:
        return change is not Change.deleted and Path(path).name == file.name

    async for _ in awatch(file.parent, watch_filter=ours, debounce=SETTLED, recursive=False):
        yield


async def _checked(file: Path, check: Check, console: Console, running: Warm) -> None:
    """Check once, print any problem, including the stack's, and prepare processes for the next check."""
    await running.spares.fill()
    begun = time.monotonic()
    console.rule(f"{datetime.now():%H:%M:%S} {file.name}", style="dim", align="left")
    try:
        await check(Attempt(file, console, running.stacks))
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        console.print(f"[bold red]Error:[/] {escape(told.problem)}", soft_wrap=True, highlight=False)
        console.print(told.remedy, soft_wrap=True, highlight=False, markup=False)
    console.print(f"Checked in {time.monotonic() - begun:.1f} s.", style="dim", highlight=False)
    await running.spares.fill()
