"""A process whose event loop no longer turns ends itself, so that its supervisor starts it again.

A frozen process keeps its connections and answers nothing, so every claim in it would wait forever. A loop in C that
holds the interpreter's lock also stops the watchdog; only a health check from outside detects it.
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
"""The default of the variable `WATCHDOG`, in seconds."""

TICKS = 20
"""Checks without a turn of the loop before the process counts as frozen."""


def patience() -> float:
    """Seconds for which an event loop may stand still: the variable `WATCHDOG`."""
    return number("WATCHDOG", WATCHDOG)


@contextmanager
def watched(seconds: float) -> Iterator[None]:
    """While the block runs, end the process with `FROZEN` if the event loop does not turn for `seconds`."""
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
    # The thread counts its ticks, not the time: a stopped process (SIGSTOP, a laptop that sleeps) has no ticks.
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
        print(f"{what}, so that its supervisor restarts it. It was at:", file=sys.stderr, flush=True)
        faulthandler.dump_traceback(all_threads=True)
    finally:  # even if stderr is closed
        os._exit(FROZEN)
