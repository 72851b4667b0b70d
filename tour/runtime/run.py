"""How a command of the tour runs: until it is done, or until a person stops it."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import Any


def until_done(job: Coroutine[Any, Any, None]) -> None:
    """Run the job; Ctrl-C and SIGTERM cancel it, so that it ends what it started, and the program exits with 130."""

    async def until_signalled() -> None:
        task, loop = asyncio.current_task(), asyncio.get_running_loop()
        assert task

        def stop() -> None:
            for signum in (signal.SIGINT, signal.SIGTERM):
                loop.add_signal_handler(signum, lambda: None)  # ending in order is not to be interrupted
            task.cancel()

        for signum in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(signum, stop)
        await job

    try:
        asyncio.run(until_signalled())
    except asyncio.CancelledError:
        print("Stopped.")
        sys.exit(130)
