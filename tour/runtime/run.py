"""How a command of the tour runs and ends: when it is done, when a person stops it, or with an error."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

from rich.console import Console
from rich.markup import escape

from tour.runtime.errors import TourError


def command_line(cli: Callable[[], Any], console: Console) -> None:
    """Run a command line. A TourError is explained on the console, and the program exits with 1."""
    try:
        cli()
    except TourError as error:
        console.quiet = False  # errors are shown even with `--json -`, where nothing else is
        console.print("[bold red]Error:[/] " + escape(error.problem), soft_wrap=True, highlight=False)
        console.print(error.remedy, soft_wrap=True, highlight=False, markup=False)
        sys.exit(1)


def until_done(job: Coroutine[Any, Any, None]) -> None:
    """Run the job. Ctrl-C and SIGTERM cancel it, so that it ends what it started; the program then exits with 130."""

    async def until_signalled() -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task

        def stop() -> None:
            for signum in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(signum, lambda: None)  # a second signal must not interrupt the clean-up
            task.cancel()

        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, stop)
        await job

    try:
        asyncio.run(until_signalled())
    except asyncio.CancelledError:
        print("Stopped.")
        sys.exit(130)
