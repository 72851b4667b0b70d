"""A process whose event loop no longer turns ends itself, so that whoever runs it starts it again.

Such a process holds on to its connections, and answers nothing: without this, every claim in it would wait for good.
A loop in C that keeps the interpreter's lock stops the watchdog, too; only a question from outside finds it.
"""

import asyncio
import faulthandler
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from shared.variables import number

FROZEN = 70
"""The exit code of a process that was frozen."""

WATCHDOG = 15.0
"""The default of the variable of this name, in seconds."""

TICKS = 20
"""How often the loop is asked before it is taken for frozen."""


def patience() -> float:
    """Seconds for which an event loop may stand still: the variable `WATCHDOG`."""
    return number("WATCHDOG", WATCHDOG)


@contextmanager
def watched(seconds: float) -> Iterator[None]:
    """While the block runs, the running event loop turns, or the process ends with `FROZEN` after so many seconds."""
    left = threading.Event()
    watch = threading.Thread(target=_watch, args=(asyncio.get_running_loop(), seconds, left), name="watchdog")
    watch.daemon = True
    watch.start()
    try:
        yield
    finally:
        left.set()


def _watch(loop: asyncio.AbstractEventLoop, seconds: float, left: threading.Event) -> None:
    turned, missed = threading.Event(), 0
    loop.call_soon_threadsafe(turned.set)
    # Ticks of our own are counted, not the time: a process that is stopped (SIGSTOP, a laptop that sleeps) has none.
    while not left.wait(seconds / TICKS):
        missed = 0 if turned.is_set() else missed + 1
        if missed == TICKS:
            _end(seconds)
        if not missed:
            turned.clear()
            loop.call_soon_threadsafe(turned.set)


def _end(seconds: float) -> None:
    try:
        what = f"The event loop has not turned for {seconds:g} s: this process ends with exit code {FROZEN}"
        print(f"{what}, so that it is started again. It was at:", file=sys.stderr, flush=True)
        faulthandler.dump_traceback(all_threads=True)
    finally:  # whatever has become of stderr
        os._exit(FROZEN)
