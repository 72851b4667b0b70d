"""Observed steps: the ledger records each run, and each run obeys the faults planned for it.

`observed` decorates the function of a step. If `TOUR_LAB` is the path of the lab's file, the file records each run:
evidence from outside Restate. Otherwise the decorator returns the function unchanged, and records nothing.
"""

import asyncio
import functools
import os
import signal
from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from typing import ParamSpec, TypeVar

from restate import Context, TerminalError
from restate.extensions import current_context

from lab.ledger import Fault, Lab

P = ParamSpec("P")
T = TypeVar("T")


class InjectedFailure(Exception):
    """A planned, retryable failure of a step."""


invocation: ContextVar[str] = ContextVar("invocation", default="")
"""The name of the invocation in the ledger. An agent without Restate has to set it."""


def framework() -> str:
    """The framework that this process serves: its service prefix, or an empty string if it runs alone."""
    return os.environ.get("TOUR_SERVICE_PREFIX", "")


@functools.cache
def _open(path: str) -> Lab:
    return Lab(path)


def observed(
    step: str,
) -> Callable[[Callable[P, Coroutine[None, None, T]]], Callable[P, Coroutine[None, None, T]]]:
    """Let the lab observe an async function that runs in a durable step named `step`.

    Raises, as planned: `InjectedFailure` (Restate retries the step) or `TerminalError` (it does not).
    """

    def decorate(work: Callable[P, Coroutine[None, None, T]]) -> Callable[P, Coroutine[None, None, T]]:
        path = os.environ.get("TOUR_LAB")
        if not path:
            return work

        @functools.wraps(work)
        async def watched(*args: P.args, **kwargs: P.kwargs) -> T:
            lab = _open(path)
            where = (framework(), _invocation(), step)
            about = f"{args} {kwargs}"
            lab.record(*where, "start")
            try:
                for fault in lab.take(*where, about, ["delay", "fail", "terminal", "crash-before", "freeze"]):
                    await _obey(fault)
                result = await work(*args, **kwargs)
                for fault in lab.take(*where, about, ["crash-after"]):
                    await _obey(fault)
            except asyncio.CancelledError:
                lab.record(*where, "end", "cancelled")
                raise
            except Exception as error:
                lab.record(*where, "end", "terminal" if isinstance(error, TerminalError) else "failed")
                raise
            lab.record(*where, "end", "ok")
            return result

        return watched

    return decorate


def _invocation() -> str:
    """The id of the current invocation; without Restate, the name that the agent has set."""
    context = handler_context()
    return context.request().id if context else invocation.get()


def handler_context() -> Context | None:
    """The Restate context of the current handler; None outside a handler."""
    try:
        return current_context()
    except LookupError:  # raised by the SDK although its type says None
        return None


async def _obey(fault: Fault) -> None:
    message = fault.detail or f"{fault.step}: planned by the lab"
    match fault.kind:
        case "delay":
            await asyncio.sleep(fault.value)
        case "fail":
            raise InjectedFailure(message)
        case "terminal":
            raise TerminalError(message, status_code=int(fault.value) or 500)
        case "freeze":
            while True:
                pass
        case _:
            os.kill(os.getpid(), signal.SIGKILL)
