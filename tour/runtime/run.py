"""The run of a command, until it is done, a person stops it, or an error ends it."""

import asyncio
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape

from shared.variables import reach_loopback_directly
from tour.runtime import signs
from tour.runtime.errors import TourError


def command_line(cli: Callable[[], Any], console: Console) -> None:
    """Run a command line. An expected error is explained, and the exit code is 1."""
    signs.encodable()
    reach_loopback_directly()
    try:
        cli()
    except Exception as error:
        told = explained(error)
        if told is None:
            raise
        console.quiet = False  # show errors even with `--json -`
        console.print("[bold red]Error:[/] " + escape(told.problem), soft_wrap=True, highlight=False)
        console.print(told.remedy, soft_wrap=True, highlight=False, markup=False)
        sys.exit(1)


def explained(error: Exception) -> TourError | None:
    """The error in words: a TourError, or the loss of Restate in the middle of a job. None for any other."""
    match error:
        case TourError():
            return error
        case httpx.HTTPError():
            address = error.request.url.copy_with(raw_path=b"/")
            why = str(error).partition("\n")[0] or type(error).__name__
            return TourError(
                f"{address} no longer answers properly: {why}",
                "Check whether Restate still runs (`uv run tour doctor`), and try again.",
            )
        case ExceptionGroup():
            return next(filter(None, map(explained, error.exceptions)), None)
    return None


def until_done(job: Coroutine[Any, Any, None]) -> None:
    """Run the job. Ctrl-C and SIGTERM cancel it, so that it ends its processes; the program then exits with 130."""

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
