"""A fan-out of durable steps in which one step's failure costs the others nothing.

`restate.gather` starts all steps at once, and Restate retries a step that fails. But the retry is a new attempt of the
invocation, and it begins at the moment of the failure: siblings that are still in flight are abandoned, and run again.
Here a step that fails is held back until its siblings have finished. By then their results are in the journal, so the
new attempt runs that step alone.
"""

import asyncio
import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, ParamSpec, TypeVar, cast, overload

import restate
from restate import RestateDurableFuture, TerminalError
from restate.server_context import ServerDurableFuture

import durable.quick_gather  # noqa: F401 - a wide fan-out costs less CPU

P = ParamSpec("P")
T = TypeVar("T")


class FanOut:
    """One fan-out: wrap each step's function with `step`, and await all the futures at once with `gather`."""

    def __init__(self) -> None:
        self._made = 0
        self._in_flight = 0  # the steps that run in this attempt, and have not finished
        self._gathered = asyncio.Event()
        self._all_finished = asyncio.Event()

    @overload
    def step(self, action: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, Coroutine[Any, Any, T]]: ...
    @overload
    def step(self, action: Callable[P, T]) -> Callable[P, Coroutine[Any, Any, T]]: ...

    def step(self, action: Callable[P, Any]) -> Callable[P, Coroutine[Any, Any, Any]]:
        """The action for `ctx.run_typed`. Should it fail, the failure is held back until its siblings have finished."""
        self._made += 1

        @functools.wraps(action)
        async def run(*args: P.args, **kwargs: P.kwargs) -> Any:
            self._in_flight += not self._gathered.is_set()
            await self._gathered.wait()
            try:
                if inspect.iscoroutinefunction(action):
                    result = await cast(Awaitable[Any], action(*args, **kwargs))
                else:
                    result = await asyncio.to_thread(action, *args, **kwargs)
            except TerminalError:  # no retry follows: it ends the step, as a result does
                self._finished()
                raise
            except Exception:
                self._finished()
                await self._all_finished.wait()
                raise
            self._finished()
            return result

        return run

    async def gather(self, *steps: RestateDurableFuture[T]) -> list[T]:
        """The results of the steps, in the order given, once all have finished.

        Raises: the TerminalError of the first step that ended with one, after the others have finished too; a
        TerminalError when `steps` are not just those that were made with `step`.
        """
        if len(steps) != self._made:
            raise TerminalError(f"a fan-out of {self._made} steps was given {len(steps)} to gather")
        # On a replay, the steps whose results are in the journal already are not among those yet to run. (Whether a
        # future is completed would not tell: the SDK looks at the replayed results only when it is awaited.)
        for step in cast(tuple[ServerDurableFuture[T], ...], steps):
            self._in_flight += step.handle in step.context.run_coros_to_execute
        self._gathered.set()
        return [await step for step in await restate.gather(*steps)]

    def _finished(self) -> None:
        # A step's result or terminal error is journaled in the same turn of the event loop as this call, so before
        # a step that wakes up here can fail.
        self._in_flight -= 1
        if self._in_flight == 0:
            self._all_finished.set()
