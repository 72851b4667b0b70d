"""An agent reports its progress as it happens: the tokens of its model, its tool calls and its steps.

    service = restate.Service("Claims", invocation_context_managers=[streamed, hold_failures])

`streamed` reports steps without further code: when one begins, and when its result is in the journal. The adapter of an
SDK reports the model: tokens as they arrive, and the turn when it is in the journal. `durable.event_log` turns these
reports into events without repeats; `durable.stream_server` streams them.

Reports are not written to the agent's journal. They go to Restate's ingress (`RESTATE_INGRESS_URL`) in batches, and the
handler returns its answer once they are accepted. A crash loses unsent reports; the replay makes them again.
"""

import asyncio
import contextvars
import os
import sys
import uuid
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Hashable, Iterable
from contextlib import asynccontextmanager, suppress
from typing import Any

import httpx
from restate.exceptions import RetryableError
from restate.extensions import current_context

from durable.budget import MODEL_CALLS
from durable.held_steps import ATTEMPT_IS_OVER, causes, holding, mended

AT_ONCE = 0.01
"""Seconds for which reports are collected into one batch."""

APART = 0.2
"""Seconds between batches of reports, except the last: a batch costs about 8 ms of CPU in all."""

LIVE = {"x-agent-events": "live"}
"""The header of a request whose caller listens from the beginning. The stream server adds it."""

UNHEARD = 1.0
"""The same for other requests, at most: their reports are collected for `APART`, and each pause is twice the last."""

PATIENCE = 10.0
"""Seconds in which Restate's ingress has to answer; otherwise the attempt fails, and Restate retries it."""

NOBODY = 5.0
"""Seconds for which reports stop after Restate says that it knows no event log."""

UNREACHED = 2.0
"""Seconds after which an ingress to which this process has never connected counts as absent: the agent continues,
without reports for a minute."""

MOST = 10_000
"""The number of running invocations whose reports are remembered: a replay in this process sends none twice."""


@asynccontextmanager
async def streamed() -> AsyncIterator[None]:
    """Report the progress of this invocation; for the `invocation_context_managers` of a service, as the first."""
    context = current_context()
    assert context
    invocation = context.request().id
    stream = Stream(_reporter(invocation, live=LIVE.items() <= context.request().headers.items()))
    holding(context).steps.observer = stream
    _CURRENT.set(stream)
    try:
        yield
    except Exception as error:
        if not any(isinstance(cause, ATTEMPT_IS_OVER) for cause in causes(error)):
            await stream.reporter.delivered()
        raise
    await stream.reporter.delivered()
    _REPORTERS.pop(invocation, None)


def ingress_client(timeout: httpx.Timeout) -> httpx.AsyncClient:
    """A client of the ingress at `RESTATE_INGRESS_URL`, with the token `RESTATE_AUTH_TOKEN` if set."""
    ingress = os.environ.get("RESTATE_INGRESS_URL") or "http://127.0.0.1:8080"
    token = os.environ.get("RESTATE_AUTH_TOKEN")
    headers = {"authorization": f"Bearer {token}"} if token else {}
    return httpx.AsyncClient(base_url=ingress, headers=headers, timeout=timeout)


def report(key: str, name: str, value: Any = None) -> None:
    """Report a custom event, once for each key. Its name and value (JSON) are those of AG-UI's `CUSTOM`."""
    if stream := _CURRENT.get():
        stream.reporter.report(key, {"kind": "note", "key": key, "name": name, "value": value})


def model_call() -> "ModelCall":
    """The handler's next model call. The calls have the same order in each attempt of the invocation."""
    stream = _CURRENT.get()
    if stream:
        stream.model_calls += 1
    call = ModelCall(stream.reporter if stream else None, stream.model_calls if stream else 0)
    _CALL.set(call)
    return call


def attempt() -> Callable[[str], None]:
    """Begin an attempt of the model call, in its step. Returns a function that reports a piece of the model's text."""
    call = _CALL.get()
    return call.attempt() if call else lambda text: None


class ModelCall:
    """Reports of a model call; none without `streamed`."""

    def __init__(self, reporter: "Reporter | None", number: int) -> None:
        self._reporter = reporter
        self._number = number

    def attempt(self) -> Callable[[str], None]:
        attempt, at, half = uuid.uuid4().hex, 0, ""

        def said(text: str) -> None:
            nonlocal at, half
            text, half = half + text, ""
            if "\ud800" <= text[-1:] <= "\udbff":  # half a surrogate pair: the other half comes in the next piece
                text, half = text[:-1], text[-1]
            if text and self._reporter:
                text = mended(text)
                self._reporter.tokens(self._number, attempt, at, text)
                at += len(text)

        return said

    def in_journal(self, text: str, calls: Iterable[tuple[str | None, str, str]]) -> None:
        """Report the turn that is in the journal: its text, and each call's id, name and arguments (JSON)."""
        if self._reporter:
            named = [
                {"id": mended(id or ""), "name": mended(name), "arguments": mended(arguments)}
                for id, name, arguments in calls
            ]
            turn = {"kind": "turn", "message": self._number, "text": mended(text), "calls": named}
            self._reporter.report(("turn", self._number), turn)


class Stream:
    """One attempt of an invocation, which reports its steps."""

    def __init__(self, reporter: "Reporter") -> None:
        self.reporter = reporter
        self.model_calls = 0
        self._names: dict[int, str] = {}

    def made(self, handle: int, name: str, in_journal: bool) -> None:
        """The handler has created a step."""
        if name not in MODEL_CALLS:
            self._names[handle] = name
            if in_journal:
                self._report(handle, ended=True)

    def begun(self, handle: int) -> None:
        """The step runs."""
        if handle in self._names:
            self._report(handle, ended=False)

    def look(self, in_journal: Callable[[int], bool]) -> None:
        """The journal may have grown."""
        for handle in [handle for handle in self._names if in_journal(handle)]:
            self._report(handle, ended=True)

    def _report(self, handle: int, *, ended: bool) -> None:
        name = self._names.pop(handle) if ended else self._names[handle]
        self.reporter.report(
            ("step", handle, ended), {"kind": "step", "step": handle, "name": mended(name), "ended": ended}
        )


class Reporter:
    """Sends the reports of an invocation in order, whichever attempt they come from."""

    def __init__(self, invocation: str, live: bool) -> None:
        self._path = f"/restate/send/AgentEvents/{invocation}/record"
        self._reports: list[dict[str, Any]] = []
        self._reported: set[Hashable] = set()
        self._least, self._most = (AT_ONCE, APART) if live else (APART, UNHEARD)
        self._next, self._apart = 0.0, APART
        self._waited_for = asyncio.Event()
        self._lost: RetryableError | None = None
        self._sending: asyncio.Task[None] | None = None

    def report(self, key: Hashable, report: dict[str, Any]) -> None:
        """Report this once."""
        if key not in self._reported:
            self._reported.add(key)
            self._add(report)

    def tokens(self, message: int, attempt: str, at: int, text: str) -> None:
        """Report a piece of a message."""
        last = self._reports[-1] if self._reports else {}
        if last.get("attempt") == attempt:
            last["text"] += text
        else:
            self._add({"kind": "tokens", "message": message, "attempt": attempt, "at": at, "text": text})

    async def delivered(self) -> None:
        """Wait until Restate has accepted all reports. Raises: RetryableError if it does not answer."""
        self._waited_for.set()
        try:
            if self._sending:
                await asyncio.shield(self._sending)
        finally:
            self._waited_for.clear()
        if lost := self._lost:
            self._lost = None
            self._reported.clear()  # the next attempt reports everything again
            raise lost

    def _add(self, report: dict[str, Any]) -> None:
        self._reports.append(report)
        if not self._sending:
            self._sending = asyncio.create_task(self._send())

    async def _send(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            while self._reports:
                pause = max(self._least, self._next - loop.time())
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._waited_for.wait(), pause)
                reports, self._reports = self._reports, []
                self._next, self._apart = loop.time() + self._apart, min(2 * self._apart, self._most)
                await _sent(self._path, reports)
        except RetryableError as error:
            self._lost = error
        finally:
            self._sending = None


_CURRENT = contextvars.ContextVar[Stream | None]("stream", default=None)
_CALL = contextvars.ContextVar[ModelCall | None]("model call", default=None)
_REPORTERS = OrderedDict[str, Reporter]()
_nobody_until = 0.0
_reached = False
_CLIENTS: dict[asyncio.AbstractEventLoop, httpx.AsyncClient] = {}


def _reporter(invocation: str, live: bool) -> Reporter:
    reporter = _REPORTERS.pop(invocation, None) or Reporter(invocation, live)
    _REPORTERS[invocation] = reporter
    if len(_REPORTERS) > MOST:
        _REPORTERS.popitem(last=False)
    return reporter


def _client() -> httpx.AsyncClient:
    loop = asyncio.get_running_loop()
    if loop not in _CLIENTS:
        _CLIENTS[loop] = ingress_client(httpx.Timeout(PATIENCE))
    return _CLIENTS[loop]


async def _sent(path: str, reports: list[dict[str, Any]]) -> None:
    """Hand reports to Restate; without an event log, drop them. Raises: RetryableError."""
    global _nobody_until, _reached
    pause, loop = 0.05, asyncio.get_running_loop()
    began = loop.time()
    if began < _nobody_until:
        return
    while True:
        try:
            response = await _client().post(path, json={"reports": reports})
            _reached = True
            if response.status_code == 404:
                _nobody_until = loop.time() + NOBODY
                return
            if response.status_code < 300:
                return
            problem = f"{response.status_code}: {response.text}"
        except httpx.TransportError as error:
            problem = repr(error)
            _reached |= not isinstance(error, httpx.ConnectError | httpx.ConnectTimeout)
            if not _reached and loop.time() - began > UNREACHED:
                _nobody_until = loop.time() + 60
                told = f"Restate's ingress does not answer on {_client().base_url}: nobody sees the events of claims."
                print(f"{told}\nSet RESTATE_INGRESS_URL to its address.", file=sys.stderr, flush=True)
                return
        if loop.time() + pause - began > PATIENCE:
            raise RetryableError(f"The events of the agent were not recorded: {problem}")
        await asyncio.sleep(pause)
        pause = min(2 * pause, 1.0)
