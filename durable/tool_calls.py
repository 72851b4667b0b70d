"""Tool calls of one turn, in parallel and yet deterministic.

Restate replays a handler by its journal, so the handler must create the same entries in the same order each time.
Concurrent tools do not: on the first attempt the faster tool continues first, on a replay the tool that the agent SDK
lists first. Here the tool calls of a turn take turns:

* one call runs at a time; the calls begin in the order in which the model asked for them, which is in the journal;
* a call that awaits Restate (a step, a timer, another service) passes its turn on, so the next call can start its own;
* when all calls wait, Restate is asked for the first completion, and the call that awaits it gets the turn.

So the journal alone decides which call runs, while the steps, timers and service calls of all tools overlap. A step
that fails is held back until the other steps in flight have finished (`held_steps`); so is a tool that raises.

Each call has its own Restate context, which tools get from their integration's `restate_context()`.
"""

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import TypeAlias, cast

from restate import Context, TerminalError
from restate.extensions import current_context
from restate.server_context import ServerInvocationContext, _restate_context_var
from restate.vm import (
    AllCompletedUnresolvedFuture,
    FirstCompletedUnresolvedFuture,
    SingleUnresolvedFuture,
    UnresolvedFuture,
)

from durable import parts
from durable.held_steps import ATTEMPT_IS_OVER, HoldingContext, causes, holding
from durable.turnstile import PATIENCE, refuse_repeated

parts.check(__name__)

REGISTRY = "tool_calls"
"""The place in an invocation for its tool calls by id, where all tasks of an agent SDK find them."""

Turn: TypeAlias = "asyncio.Future[BaseException | None]"
"""Set to None when the call may continue, or to an exception when the attempt is over."""


class ToolCalls:
    """The tool calls of one turn of a model, by their ids, in the order in which the model asked for them.

    `limit` is the number of calls that the agent SDK runs at the same time; None: the number in the variable
    `TOOL_CALLS_AT_ONCE`, or all. Each call runs in a separate task, in `turn`, or between `begin` and `end` or `fail`.
    Raises: TerminalError when two calls have the same id.
    """

    def __init__(self, ctx: Context, ids: Sequence[str], limit: int | None = None) -> None:
        refuse_repeated(ids)
        self.ctx = holding(ctx)
        self._ids = tuple(ids)
        self._limit = limit or int(os.environ.get("TOOL_CALLS_AT_ONCE") or len(ids))
        self._expected = list(ids)  # not begun
        self._late = set[str]()  # calls that are no longer waited for
        self._missed: asyncio.TimerHandle | None = None  # ends the wait for the first expected call
        self._active: set[str] = set()  # begun, not ended
        self._running: str | None = None  # the active call that has the turn; the others are parked, or ready
        self._parked: dict[str, UnresolvedFuture] = {}  # the future that each call waits for
        self._ready: deque[str] = deque()  # calls whose wait is over, in the order of the journal
        self._polling = False  # Restate is being asked for the next completion
        self._cancelled: TerminalError | None = None
        self._turns: dict[str, Turn] = {}  # of calls that have come, are parked or ready
        self._ended: dict[str, Turn] = {}  # of calls whose terminal error is held back
        self._raising: str | None = None  # a call whose error will be retried: no call may continue
        self._over: BaseException | None = None
        self.ctx.extension_data.setdefault(REGISTRY, {}).update(dict.fromkeys(ids, self))

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
        """Run a tool call in this block, with its own Restate context.

        The agent SDK tells the model about `answered` errors, and continues.
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
        """Wait for a call's first turn. From then on, this task's Restate context belongs to the call."""
        if id in self._late:
            self._late.remove(id)
            self._expected.append(id)
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
        """Do not wait for this call: the agent SDK has answered it itself."""
        if id in self._expected:
            self._expected.remove(id)
            self._pass_on()

    def end(self, id: str) -> None:
        """End the call, and pass its turn on."""
        self._leave(id)
        if self._raising == id:  # the SDK has told the model about the error after all
            self._raising = None
        self._pass_on()

    async def fail(self, id: str, error: Exception) -> None:
        """Hold the call's error back until it can do no harm.

        A terminal error waits until the other calls have ended. Any other error waits for the steps in flight, and ends
        the attempt. No other call may continue meanwhile: the next attempt may first get further in this call.
        """
        self._leave(id)
        if self._over:
            return
        if any(isinstance(cause, TerminalError) for cause in causes(error)):  # an agent SDK may wrap it
            self._ended[id] = released = asyncio.get_running_loop().create_future()
            self.ctx.tasks.add(released)
            self._pass_on()
            await released
        else:
            self._raising = id
            await self.ctx.steps.finished()

    async def wait(self, id: str, awaited: UnresolvedFuture) -> None:
        """Pass the turn on until Restate completes the future that this call awaits."""
        if id not in self._active:  # the call has ended, but its context is still in use
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

    async def _turn(self, id: str) -> None:
        if self._over:
            raise self._over
        self._turns[id] = turn = asyncio.get_running_loop().create_future()
        self.ctx.tasks.add(turn)  # cancelled when the attempt ends
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
        """Give the turn to the next call, unless a call has it."""
        if self._running or self._polling or self._over or self._raising:
            return
        if self._expected and len(self._active) + len(self._ended) < self._limit:
            first = self._expected[0]
            if self._missed:
                self._missed.cancel()
                self._missed = None
            if first in self._turns:
                self._expected.remove(first)
                self._active.add(first)
                self._go_on(first)
            else:  # decided when it comes, or when it is no longer waited for
                self._missed = asyncio.get_running_loop().call_later(PATIENCE, self._do_without, first)
        elif self._ready:
            self._go_on(self._ready.popleft())
        elif self._parked:
            self._poll()
        else:
            for released in self._ended.values():
                released.set_result(None)
            self._ended.clear()

    def _do_without(self, first: str) -> None:
        """Stop waiting for the first expected call. If it comes after all, it is the last."""
        if self.ctx.request_finished_event.is_set():
            return
        if first in self._expected and first not in self._turns:
            self._expected.remove(first)
            self._late.add(first)
        self._pass_on()

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
        try:
            await self.ctx.create_poll_or_cancel_coroutine(FirstCompletedUnresolvedFuture([*self._parked.values()]))
            completed = [id for id in self._ids if id in self._parked and self._completed(self._parked[id])]
            for id in completed:  # at most one, because Restate takes completions from the journal one by one
                del self._parked[id]
            self._ready.extend(completed)
        except TerminalError as cancelled:
            self._cancelled = cancelled
            self._ready.extend(id for id in self._ids if id in self._parked)
        except ATTEMPT_IS_OVER as over:  # every call has to leave
            self._over = over
            for turn in (*self._turns.values(), *self._ended.values()):
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


class _CallContext(HoldingContext):
    """The context of one tool call: the invocation's, except that awaiting passes the turn on."""

    __slots__ = ("calls", "id")

    def __init__(self, calls: ToolCalls, id: str) -> None:
        self.__dict__ = calls.ctx.__dict__
        self.calls, self.id = calls, id

    async def create_poll_or_cancel_coroutine(self, unresolved_future: UnresolvedFuture) -> None:
        await self.calls.wait(self.id, unresolved_future)
