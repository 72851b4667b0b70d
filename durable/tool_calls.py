"""Several tool calls of one turn, in parallel and yet deterministic.

Restate replays a handler by its journal, so the handler must create the same entries in the same order each time. Tools
that run at the same time do not: on the first attempt the faster one goes on first, on a replay the one that the agent
SDK lists first. Here the tool calls of a turn share one *turn*:

* one call runs at a time; the calls begin in the order in which the model asked for them, which is in the journal;
* a call that awaits Restate (a step, a timer, another service) passes its turn on, so the next one can start its own;
* when all of them wait, Restate is asked for the first completion, and the call that awaits it gets the turn.

So which call runs depends on the journal alone, while the steps, timers and calls that they wait for overlap. A step
that fails is held back until the steps in flight beside it have finished, as in `fan_out`; so is a tool that raises.

Nothing of the SDK is replaced: a call gets a Restate context of its own, and what it awaits with that takes part in
this. Tools find it with their integration's `restate_context()`.
"""

import asyncio
import contextvars
import functools
import inspect
import os
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from importlib import metadata
from typing import Any, TypeAlias, cast

from restate import Context, TerminalError
from restate.exceptions import SdkInternalBaseException
from restate.extensions import current_context
from restate.server_context import (
    DisconnectedException,
    ServerDurableFuture,
    ServerInvocationContext,
    _restate_context_var,
)
from restate.vm import (
    AllCompletedUnresolvedFuture,
    FirstCompletedUnresolvedFuture,
    SingleUnresolvedFuture,
    UnresolvedFuture,
)

REGISTRY = "tool_calls"
"""Where an invocation keeps its tool calls by id: the tasks that an agent SDK starts all find them there."""

Turn: TypeAlias = "asyncio.Future[BaseException | None]"
"""Set when a call goes on; to an exception when the attempt is over."""

ATTEMPT_IS_OVER = (SdkInternalBaseException, DisconnectedException)


def require_versions(**versions: str) -> None:
    """Make sure that these packages have versions that begin so (`openai_agents="0.24."`). Raises: ImportError."""
    for name, version in versions.items():
        package = name.replace("_", "-")
        if not metadata.version(package).startswith(version):
            raise ImportError(
                f"parallel tool calls were tested with {package} {version}*, and {metadata.version(package)} is "
                "installed: run tests/conformance/test_parallel_tool_calls.py with it, then change the number here"
            )


require_versions(restate_sdk="1.3.0")


class ToolCalls:
    """The tool calls of one turn of a model, by their ids, in the order in which the model asked for them.

    `limit` is how many of them the agent SDK has in hand at the same time; None: all, or as many as the variable
    `TOOL_CALLS_AT_ONCE` says. Each call runs in `turn`, or between `begin` and `end` or `fail`, in a task of its own.
    Raises: TerminalError when two calls have the same id.
    """

    def __init__(self, ctx: Context, ids: Sequence[str], limit: int | None = None) -> None:
        assert isinstance(ctx, ServerInvocationContext)
        if len(set(ids)) < len(ids):
            raise TerminalError(f"the model gave several tool calls the same id: {', '.join(ids)}")
        self.ctx = ctx
        self._outer = ctx.calls if isinstance(ctx, _CallContext) else None  # this agent runs inside a tool
        self.steps: _Steps = self._outer.steps if self._outer else _Steps(self)
        self._ids = tuple(ids)
        self._limit = limit or int(os.environ.get("TOOL_CALLS_AT_ONCE") or len(ids))
        self._expected = list(ids)  # not begun
        self._active: set[str] = set()  # begun, not ended
        self._running: str | None = None  # the active call whose turn it is; the others are parked, or ready
        self._parked: dict[str, UnresolvedFuture] = {}  # what each of them waits for
        self._ready: deque[str] = deque()  # those whose wait is over, in the order of the journal
        self._polling = False  # Restate is being asked for the next completion
        self._cancelled: TerminalError | None = None
        self._turns: dict[str, Turn] = {}  # calls that have come, are parked or ready: they go on when this is set
        self._ended: dict[str, Turn] = {}  # the same of calls whose terminal error is held back
        self._raising: str | None = None  # a call whose error will be retried: nobody may go on
        self._kept: Turn | None = None  # set when the steps in flight beside it have been kept
        self._over: BaseException | None = None
        ctx.extension_data.setdefault(REGISTRY, {}).update(dict.fromkeys(ids, self))

    @staticmethod
    def of(id: str) -> "ToolCalls":
        """The tool calls of this invocation to which the call `id` belongs."""
        ctx = current_context()
        assert isinstance(ctx, ServerInvocationContext)
        if calls := ctx.extension_data.get(REGISTRY, {}).get(id):
            return cast(ToolCalls, calls)
        raise TerminalError(f"the tool call {id} was not expected")

    @asynccontextmanager
    async def turn(self, id: str, answered: tuple[type[Exception], ...] = ()) -> AsyncIterator[Context]:
        """Run a tool call in this block, with a Restate context of its own.

        The agent SDK tells the model about errors that are `answered`, and goes on.
        """
        await self.begin(id)
        try:
            yield _restate_context_var.get()
        except answered:
            self.end(id)
            raise
        except Exception as error:
            await self.fail(id, error)
            raise
        except BaseException:
            self.end(id)
            raise
        self.end(id)

    async def begin(self, id: str) -> None:
        """Wait for a call's first turn. From then on, this task's Restate context is the call's own."""
        if id not in self._expected:
            raise TerminalError(f"the tool call {id} was not expected")
        try:
            await self._turn(id)
        except asyncio.CancelledError:
            self.drop(id)
            self.end(id)
            raise
        _restate_context_var.set(_CallContext(self, id))

    def drop(self, id: str) -> None:
        """Do not wait for this call: the agent SDK has answered it by itself."""
        if id in self._expected:
            self._expected.remove(id)
            self._pass_on()

    def end(self, id: str) -> None:
        """The call is done."""
        self._leave(id)
        if self._raising == id:  # the SDK has told the model about the error after all
            self._raising = None
        self._pass_on()

    async def fail(self, id: str, error: Exception) -> None:
        """The call has raised an error: wait until nothing can be lost by it.

        The others end first when it is terminal. Else the attempt ends with it, and the next one may come further here:
        then nobody may go on now, for a replay would miss it. Just the steps in flight are waited for.
        """
        self._leave(id)
        if self._over:
            return
        released: Turn = asyncio.get_running_loop().create_future()
        self.ctx.tasks.add(released)
        if isinstance(error, TerminalError):
            self._ended[id] = released
        else:
            self._raising, self._kept = id, released
        self._pass_on()
        await released

    async def wait(self, id: str, awaited: UnresolvedFuture) -> None:
        """Pass the turn on until Restate has completed what this call awaits."""
        if id not in self._active:  # it has ended, and its context is still in use
            await self.ctx.create_poll_or_cancel_coroutine(awaited)
            return
        if self._running != id:
            raise TerminalError("a tool awaits Restate in two tasks at once: use restate.gather, not asyncio.gather")
        self._running, self._parked[id] = None, awaited
        try:
            await self._turn(id)
        finally:
            was_cancelled = self._parked.pop(id, None)
        if was_cancelled and self._cancelled:
            raise self._cancelled

    def waited_for(self) -> Iterator[int]:
        """The handles of all that the parked calls wait for."""
        for awaited in self._parked.values():
            yield from _handles(awaited)

    async def _turn(self, id: str) -> None:
        if self._over:
            raise self._over
        self._turns[id] = turn = asyncio.get_running_loop().create_future()
        self.ctx.tasks.add(turn)  # it is cancelled when the attempt ends
        self._pass_on()
        try:
            if over := await turn:
                raise over
        finally:
            self._turns.pop(id, None)

    def _leave(self, id: str) -> None:
        _restate_context_var.set(self.ctx)
        self._active.discard(id)
        if self._running == id:
            self._running = None
        self._parked.pop(id, None)  # a task that the tool left behind may still wait
        if left := self._turns.pop(id, None):
            left.cancel()

    def _pass_on(self) -> None:
        """If it is nobody's turn, find out whose it is."""
        self.steps.changed()
        if self._running or self._polling or self._over:
            return
        if self._raising:
            if self._kept and (self._outer or not self.steps.in_journal_soon()):
                self._kept.set_result(None)
                self._kept = None
            elif self._kept:
                self._poll()
        elif self._expected and len(self._active) + len(self._ended) < self._limit:
            first = self._expected[0]
            if first in self._turns:  # else this is asked again when it comes
                self._expected.remove(first)
                self._active.add(first)
                self._go_on(first)
        elif self._ready:
            self._go_on(self._ready.popleft())
        elif self._parked:
            self._poll()
        else:
            for released in self._ended.values():
                released.set_result(None)
            self._ended.clear()

    def _go_on(self, id: str) -> None:
        self._running = id
        if turn := self._turns.get(id):
            turn.set_result(None)
        else:  # the agent SDK has cancelled it
            self._leave(id)
            self._pass_on()

    def _poll(self) -> None:
        self._polling = True
        self.ctx.tasks.add(asyncio.create_task(self._next_completion()))

    async def _next_completion(self) -> None:
        in_flight = [SingleUnresolvedFuture(handle) for handle in self.steps.in_journal_soon()] if self._raising else []
        try:
            await self.ctx.create_poll_or_cancel_coroutine(
                FirstCompletedUnresolvedFuture([*self._parked.values(), *in_flight])
            )
            completed = [id for id in self._ids if id in self._parked and self._completed(self._parked[id])]
            for id in completed:  # one at most, as Restate takes the completions from the journal one by one
                del self._parked[id]
            self._ready.extend(completed)
        except TerminalError as cancelled:
            self._cancelled = cancelled
            self._ready.extend(id for id in self._ids if id in self._parked)
        except ATTEMPT_IS_OVER as over:  # all that is left to do is to leave
            self._over = over
            for turn in (*self._turns.values(), *self._ended.values(), *([self._kept] if self._kept else [])):
                if not turn.done():
                    turn.set_result(over)
        self._polling = False
        self._pass_on()

    def _completed(self, awaited: UnresolvedFuture) -> bool:
        match awaited:
            case SingleUnresolvedFuture(handle):
                return self.ctx.vm.is_completed(handle)
            case AllCompletedUnresolvedFuture(children):
                return all(map(self._completed, children))
            case FirstCompletedUnresolvedFuture(children):
                return any(map(self._completed, children))


class _Steps:
    """The steps of tool calls that run in this attempt: one that fails is held back until the others have ended."""

    def __init__(self, calls: ToolCalls) -> None:
        self._calls = calls
        self._started: list[ServerDurableFuture[Any]] = []
        self._running: set[int] = set()
        self._changed = asyncio.Event()

    def add(self, action: Callable[..., Any], make: Callable[[Callable[..., Any]], Any]) -> Any:
        """The future of a step that runs `action`, made by `make`.

        The action runs in the contextvars of the tool that made the step, whoever polls Restate.
        """
        context = contextvars.copy_context()

        @functools.wraps(action)
        async def run(*args: Any, **kwargs: Any) -> Any:
            handle = future.handle
            self._started.append(future)
            self._running.add(handle)
            try:
                if inspect.iscoroutinefunction(action):
                    result = await asyncio.create_task(action(*args, **kwargs), context=context)
                else:
                    result = await asyncio.to_thread(context.run, action, *args, **kwargs)
            except TerminalError:  # no retry follows: it ends the step, as a result does
                self._end(handle)
                raise
            except Exception:
                self._end(handle)
                while self._running or self._to_start():
                    self._changed.clear()
                    await self._changed.wait()
                raise
            self._end(handle)
            return result

        future = make(run)
        return future

    def changed(self) -> None:
        """A step has ended, or other steps are waited for now."""
        self._changed.set()

    def in_journal_soon(self) -> list[int]:
        """The handles of the steps that have started, and whose results Restate has not confirmed."""
        return [step.handle for step in self._started if not step.is_completed()]  # type: ignore[no-untyped-call]

    def _end(self, handle: int) -> None:
        # Its result is journaled in the same turn of the event loop as this, so before a step that wakes up can fail.
        self._running.discard(handle)
        self.changed()

    def _to_start(self) -> bool:
        return any(handle in self._calls.ctx.run_coros_to_execute for handle in self._calls.waited_for())


class _CallContext(ServerInvocationContext):
    """The context of one tool call: the invocation's own, but to await is to pass the turn on, and steps are held."""

    __slots__ = ("calls", "id")

    def __init__(self, calls: ToolCalls, id: str) -> None:
        self.__dict__ = calls.ctx.__dict__
        self.calls, self.id = calls, id

    async def create_poll_or_cancel_coroutine(self, unresolved_future: UnresolvedFuture) -> None:
        await self.calls.wait(self.id, unresolved_future)

    def run_typed(self, name: str, action: Any, *args: Any, **kwargs: Any) -> Any:  # type: ignore[override]
        make = super().run_typed
        return self.calls.steps.add(action, lambda held: make(name, held, *args, **kwargs))

    def run(self, name: str, action: Any, *args: Any, **kwargs: Any) -> Any:
        make = super().run
        return self.calls.steps.add(action, lambda held: make(name, held, *args, **kwargs))


def _handles(awaited: UnresolvedFuture) -> Iterator[int]:
    if isinstance(awaited, SingleUnresolvedFuture):
        yield awaited.handle
    else:
        for child in awaited.children:
            yield from _handles(child)
