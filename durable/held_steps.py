"""A step that fails is held back until the other steps in flight have finished.

Restate retries a failed step with a new attempt of the whole invocation. The SDK begins that attempt at the moment of
the failure: it abandons the steps that are still in flight, and each attempt runs them again. With `hold_failures`, a
failure waits until those steps have finished. The journal then has their results, so the new attempt runs only the
failed step.

    service = restate.Service("Claims", invocation_context_managers=[hold_failures])

Handlers stay as they are: `ctx.run`, `ctx.run_typed`, `restate.gather`, `restate.select`. The retry begins later than
without `hold_failures`: when the slowest step in flight has finished.
"""

import asyncio
import contextvars
import inspect
import json
import traceback
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from typing import Any, Protocol, cast

from restate import Context, TerminalError
from restate.exceptions import RetryableError, SdkInternalBaseException
from restate.extensions import current_context
from restate.serde import BytesSerde, Serde
from restate.server_context import DisconnectedException, ServerDurableFuture, ServerInvocationContext
from restate.vm import UnresolvedFuture

import durable.turnstile  # noqa: F401 - ids that repeat would freeze the process
from durable import parts
from durable.attempts import FAILED_ATTEMPTS, LONGEST_PAUSE
from durable.budget import MODEL_CALLS, Budget, usage
from durable.draining import MODEL_CALLS_IN_FLIGHT

parts.check(__name__)

ATTEMPT_IS_OVER = (SdkInternalBaseException, DisconnectedException)
"""Restate's own signals: a step has failed, the invocation is suspended, or the connection is lost."""


@asynccontextmanager
async def hold_failures() -> AsyncIterator[None]:
    """Hold failures back in this invocation; for the `invocation_context_managers` of a service."""
    context = current_context()
    assert context
    steps = holding(context).steps
    try:
        yield
    except Exception as error:
        chain = list(causes(error))
        if any(isinstance(cause, ATTEMPT_IS_OVER) for cause in chain):
            raise
        if not any(isinstance(cause, TerminalError) for cause in chain):
            await steps.finished()
        raise tellable(error) from error.__cause__


def holding(context: Context) -> "HoldingContext":
    """The same context of an invocation. From now on it holds failures back."""
    if not isinstance(context, HoldingContext):
        assert type(context) is ServerInvocationContext
        steps = Steps(context.run_coros_to_execute)
        # The handler and the current context hold this object, so the object stays and its class changes.
        context.__class__ = HoldingContext
        cast(HoldingContext, context).steps = steps
    return cast(HoldingContext, context)


class StepObserver(Protocol):
    """Observes the steps of an attempt, by their handles."""

    def made(self, handle: int, name: str, in_journal: bool) -> None:
        """The handler has created a step; its result may be in the journal already."""

    def begun(self, handle: int) -> None:
        """The step runs."""

    def look(self, in_journal: Callable[[int], bool]) -> None:
        """The journal may have grown."""


class Steps:
    """The steps in flight in one attempt: the SDK has started them, and has not sent their results to Restate.

    `waiting` has the steps that the SDK has not started.
    """

    def __init__(self, waiting: Mapping[int, object]) -> None:
        self.translate: Callable[[Exception], Exception] = lambda error: error
        """Maps a step's error to the error to raise, such as a terminal one if no retry can help."""
        self.over: BaseException | None = None
        """Restate's signal that the attempt is over: any later error of the handler is a consequence of it."""
        self.budget: Budget | None = None
        """The budget for the model calls of the invocation; None: no limit."""
        self.model_calls = set[int]()
        """The handles of the model calls."""
        self.observer: StepObserver | None = None
        self._waiting = waiting
        self._open: set[int] = set()
        self._ended = asyncio.Event()

    def add(self, handle: int) -> None:
        """Add a new step. It is in flight once it leaves `waiting`; its task starts a turn of the event loop later."""
        self._open.add(handle)

    def end(self, handle: int) -> None:
        """Remove a step that has a result, or has failed."""
        self._open.discard(handle)
        self._ended.set()

    async def finished(self) -> None:
        """Wait until no step is in flight."""
        while self._open - self._waiting.keys():
            self._ended.clear()
            await self._ended.wait()


class HoldingContext(ServerInvocationContext):
    """The SDK's context of an invocation, in which a failed step waits for the others."""

    steps: Steps

    def run(self, name: str, *args: Any, **kwargs: Any) -> Any:
        return self._made(name, super().run(name, *args, **kwargs))

    def run_typed(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        if name not in MODEL_CALLS:
            return self._made(name, super().run_typed(name, *args, **kwargs))
        if self.steps.budget:
            self.steps.budget.begin_call()
        step = self._made(name, super().run_typed(name, *args, **kwargs))
        self.steps.model_calls.add(step.handle)
        return step

    def _made(self, name: str, step: Any) -> Any:
        """Run the step in the contextvars of the task that created it, because any task may start it."""
        handle = cast(ServerDurableFuture[Any], step).handle
        if self.steps.observer:
            self.steps.observer.made(handle, name, handle not in self.run_coros_to_execute)
        if run := self.run_coros_to_execute.get(handle):  # absent on a replay, because the result is in the journal
            context = contextvars.copy_context()

            self.run_coros_to_execute[handle] = lambda: asyncio.create_task(cast(Any, run)(), context=context)
            self.steps.add(handle)
        return step

    async def create_run_coroutine(
        self, handle: int, action: Any, serde: Serde[Any], max_attempts: int | None = None, *retries: Any
    ) -> None:
        is_model_call = handle in self.steps.model_calls
        if self.steps.observer:
            self.steps.observer.begun(handle)

        async def held() -> bytes:
            try:
                written = serde.serialize(await _result(action))
                serde.deserialize(written)  # a result in the journal that cannot be read back would fail forever
            except ATTEMPT_IS_OVER:
                raise
            except Exception as error:  # noqa: BLE001 - it is raised again
                raised = error if isinstance(error, TerminalError) else self.steps.translate(error)
                if is_model_call and not isinstance(raised, TerminalError):
                    raised = self._last_attempt(raised, max_attempts) or raised
                if not isinstance(raised, TerminalError):  # no retry follows a terminal error
                    self.steps.end(handle)
                    await self.steps.finished()
                raise tellable(raised) from raised.__cause__
            if is_model_call:
                FAILED_ATTEMPTS.forget(self.request().id)
            return written

        options = (max_attempts, *retries)
        if is_model_call:
            await MODEL_CALLS_IN_FLIGHT.begin((self.steps, handle))
            max_duration, initial, longest, factor = retries
            options = (None, max_duration, initial, longest or LONGEST_PAUSE, factor)
        try:
            await super().create_run_coroutine(handle, held, BytesSerde(), *options)
        finally:
            self.steps.end(handle)  # its result has been sent to Restate: before that, no waiting step may fail

    def _last_attempt(self, error: Exception, max_attempts: int | None) -> TerminalError | None:
        """The terminal error of a model call whose attempts have all failed; None while there are more."""
        invocation = self.request().id
        if not max_attempts or FAILED_ATTEMPTS.add(invocation, self.steps) < max_attempts:
            return None
        FAILED_ATTEMPTS.forget(invocation)
        return TerminalError(repr(error))

    async def create_poll_or_cancel_coroutine(self, unresolved_future: UnresolvedFuture) -> None:
        with self._noticed():
            await super().create_poll_or_cancel_coroutine(unresolved_future)

    async def take_and_send_output(self) -> None:
        await super().take_and_send_output()  # type: ignore[no-untyped-call]
        if self.steps.observer:  # each turn of the loop that reads the journal begins here
            self.steps.observer.look(self.vm.is_completed)

    async def must_take_notification(self, handle: int) -> Any:
        MODEL_CALLS_IN_FLIGHT.end((self.steps, handle))  # it is in the journal
        with self._noticed():
            result = await super().must_take_notification(handle)  # type: ignore[no-untyped-call]
        if self.steps.observer:
            self.steps.observer.look(handle.__eq__)
        if self.steps.budget and handle in self.steps.model_calls:
            self.steps.budget.tokens_used += sum(usage(json.loads(result)))
        return result

    def on_attempt_finished(self) -> None:
        super().on_attempt_finished()  # type: ignore[no-untyped-call]
        MODEL_CALLS_IN_FLIGHT.end(*((self.steps, handle) for handle in self.steps.model_calls))

    @contextmanager
    def _noticed(self) -> Iterator[None]:
        try:
            yield
        except ATTEMPT_IS_OVER as signal:
            self.steps.over = signal
            raise


def tellable(error: Exception) -> Exception:
    """The error, or a similar one that can be sent to Restate.

    Half a surrogate pair, from an answer that is cut inside an emoji, cannot be sent: the SDK would hang on it.
    """
    try:
        "".join(traceback.format_exception(error)).encode()
        return error
    except UnicodeEncodeError:
        error.__cause__ = None  # its message may contain the same half
    match error:
        case TerminalError():
            return TerminalError(mended(error.message), error.status_code, error.metadata)
        case RetryableError():
            return RetryableError(mended(error.message), error.status_code, error.retry_after)
    return RuntimeError(mended(f"{type(error).__name__}: {error}"))


def mended(text: str) -> str:
    """The text with surrogate pairs joined. A lone half, which is not text, becomes U+FFFD."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, its cause, that error's cause, and so on; for a group, the same for each of its errors."""
    while error is not None:
        yield error
        if isinstance(error, BaseExceptionGroup):
            for each in error.exceptions:
                yield from causes(each)
        error = error.__cause__


async def _result(action: Callable[[], Any]) -> Any:
    return await action() if inspect.iscoroutinefunction(action) else await asyncio.to_thread(action)
