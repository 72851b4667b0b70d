"""Steps under observation: each run is in the ledger, and obeys the faults that are planned for it.

The function of a step is decorated once with `observed`. With `TOUR_LAB` set to the path of the lab's file, each run is
recorded there: evidence from outside Restate. Without it the decorator returns the function as it is, and nothing is
recorded.
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
"""The name of the invocation in the ledger of an agent without Restate, which has to set it."""


def framework() -> str:
    """Which framework this process serves: its service prefix, or an empty string when it runs alone."""
    return os.environ.get("TOUR_SERVICE_PREFIX", "")


@functools.cache
def _open(path: str) -> Lab:
    return Lab(path)


def observed(
    step: str,
) -> Callable[[Callable[P, Coroutine[None, None, T]]], Callable[P, Coroutine[None, None, T]]]:
    """Let the lab watch an async function that a durable step named `step` runs.

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
    """The id of the current invocation; without Restate, the name that the agent gives it."""
    context = handler_context()
    return context.request().id if context else invocation.get()


def handler_context() -> Context | None:
    """The Restate context of the current handler; None outside of one."""
    try:
        return current_context()
    except LookupError:  # the SDK raises it where its type says None
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
