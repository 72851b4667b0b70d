"""A server of one invocation without a process, a network or a clock: the caller decides which step ends next.

The handler, `durable` and the Restate SDK with its core are real, and called as an ASGI server calls them. The action
of a step waits until the caller ends it, and the server waits until all tasks wait. So two things determine a run: the
order in which its steps end, and the journal with which it begins.
"""

import asyncio
import json
import selectors
from collections import Counter
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any

import restate

from tests.proof import protocol
from tests.proof.protocol import frame, frames, message, parsed

DELIVER = ""
"""The choice that the handler receives the bytes from the server."""

MANY = 100
"""The most attempts of an invocation: more than the entries of any journal here, so it makes no progress."""

TERMINAL = -1
"""In place of a step's number of failures: its first error is terminal."""

Choose = Callable[[list[str]], str]
"""Chooses the next event of these: the end of a step in flight, or DELIVER."""


current: ContextVar["Invocation"] = ContextVar("current")
"""The invocation of an attempt's tasks."""


class Violation(AssertionError):
    """A property that does not hold."""


@dataclass(frozen=True)
class Entry:
    """An entry of the journal: the type of its frame, its message, and the step that it creates or completes."""

    type: int
    content: bytes
    step: str = ""
    id: int = 0
    """The step's number, which links its command and its completion."""

    def __str__(self) -> str:
        names = {protocol.INPUT: "input", protocol.OUTPUT: "output", protocol.RUN: f"run {self.step}"}
        return names.get(self.type, f"{self.step} is done")


def given(argument: Any) -> Entry:
    """The entry with a handler's argument."""
    content = message("Input", value={"content": json.dumps(argument).encode()})
    return Entry(protocol.INPUT, content.SerializeToString())


@dataclass
class Invocation:
    """One invocation: its journal, and the state of its steps over all attempts."""

    app: Any
    path: str
    journal: list[Entry]
    fails: dict[str, int] = field(default_factory=dict)
    """The number of failures of each of these steps before its result, or TERMINAL."""
    suspends: bool = False
    """Whether the server closes its stream at once, so that the handler suspends at its first await."""
    delays: bool = False
    """Whether steps may end before the handler receives the results of others."""
    ended: list[str] = field(default_factory=list)
    """The steps in the order in which they ended, with a result or without."""

    def __post_init__(self) -> None:
        self.ended_before: list[int] = []  # for each entry that is new, how many steps had ended
        self.done = {entry.step for entry in self.journal if entry.type == protocol.RUN_COMPLETION}
        self.starts = Counter[str]()
        self.in_flight: dict[str, asyncio.Future[str]] = {}
        self.violations: list[str] = []
        self.attempts = self.replayed = 0  # the latter in entries
        self.over = False

    async def step(self, name: str) -> str:
        """The action of the step of this name."""
        if name in self.done or name in self.in_flight:
            self.violations.append(
                f"{name} {'has finished' if name in self.done else 'is in flight'}, and starts again"
            )
        self.starts[name] += 1
        end: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.in_flight[name] = end
        return await end

    def end(self, name: str) -> None:
        """Let a step in flight end, as planned."""
        end, fails = self.in_flight.pop(name), self.fails.get(name, 0)
        self.ended.append(name)
        if fails == TERMINAL:
            end.set_exception(restate.TerminalError(f"{name} gives up", status_code=418))
        elif self.ended.count(name) <= fails:
            end.set_exception(RuntimeError(f"{name} fails"))
        else:
            end.set_result(name)

    def append(self, entry: Entry) -> None:
        self.ended_before.append(len(self.ended))
        self.journal.append(entry)
        if entry.type == protocol.RUN_COMPLETION:
            self.done.add(entry.step)


class Simulation:
    """An event loop on which invocations run, one after another."""

    def __init__(self) -> None:
        self._idle = _Idle()
        self._loop = asyncio.SelectorEventLoop(self._idle)

    def run(self, invocation: Invocation, choose: Choose) -> None:
        """Run the invocation to its end. Raises: Violation."""
        while not invocation.over:
            self._attempt(invocation, choose)
            if invocation.attempts == MANY:
                invocation.violations.append(f"it has not ended after {MANY} attempts")
            if invocation.in_flight:
                invocation.violations.append(f"the attempt has ended, and {sorted(invocation.in_flight)} with it")
            if invocation.violations:
                raise Violation(f"{invocation.violations[0]}; the journal: {', '.join(map(str, invocation.journal))}")

    def close(self) -> None:
        self._loop.close()

    def _attempt(self, invocation: Invocation, choose: Choose) -> None:
        invocation.attempts += 1
        invocation.replayed += len(invocation.journal)
        current.set(invocation)
        request = _Request(invocation)
        attempt = self._loop.create_task(invocation.app(request.scope, request.received.get, request.send))

        def go_on() -> None:
            steps = sorted(invocation.in_flight)
            options = [DELIVER] if request.sent else []
            if invocation.delays or not options:
                options += steps
            if not options:
                invocation.violations.append("no step is in flight, and it has not ended")
                attempt.cancel()
            elif (chosen := choose(options)) == DELIVER:
                request.deliver()
            else:
                invocation.end(chosen)

        self._idle.then = go_on
        self._loop.run_until_complete(asyncio.wait([attempt]))
        for task in asyncio.all_tasks(self._loop):
            task.cancel()


class _Idle(selectors.SelectSelector):
    """Never blocks: when all tasks wait, it continues."""

    then: Callable[[], None]

    def select(self, timeout: float | None = None) -> list[Any]:
        if timeout is None:
            self.then()
        return []


class _Request:
    """One attempt of an invocation: the server's request with the whole journal, and the handler's response."""

    def __init__(self, invocation: Invocation) -> None:
        self.invocation = invocation
        self.scope = {
            "type": "http",
            "http_version": "2",
            "path": invocation.path,
            "headers": [(b"content-type", protocol.CONTENT_TYPE.encode())],
        }
        self.received = asyncio.Queue[dict[str, Any]]()
        self.sent: list[dict[str, Any]] = []
        self._closed = False
        self._response = bytearray()
        start = message("Start", id=b"1", debug_id="inv_1", known_entries=len(invocation.journal), random_seed=1)
        self._send(protocol.START, start.SerializeToString())
        for entry in invocation.journal:
            self._send(entry.type, entry.content)
        if invocation.suspends:
            self._close()
        self.deliver()

    def deliver(self) -> None:
        for event in self.sent:
            self.received.put_nowait(event)
        self.sent.clear()

    async def send(self, event: dict[str, Any]) -> None:
        """Take a part of the handler's response."""
        self._response += event.get("body", b"")
        for type, content in frames(self._response):
            self._take(type, content)

    def _take(self, type: int, content: bytes) -> None:
        match type:
            case protocol.RUN:
                run = parsed("Run", content)
                self.invocation.append(Entry(type, content, run.name, run.result_completion_id))
            case protocol.PROPOSE_RUN:
                self._complete(parsed("ProposeRun", content))
            case protocol.OUTPUT:
                self.invocation.append(Entry(type, content))
            case protocol.ERROR:
                error = parsed("Error", content)
                if error.code in protocol.NEVER_RIGHT:
                    self.invocation.violations.append(f"{error.code}: {error.message}")
                self._close()
            case protocol.END | protocol.SUSPENSION:
                self.invocation.over = type == protocol.END
                self._close()

    def _complete(self, proposed: Any) -> None:
        id = proposed.result_completion_id
        result = (
            {"failure": proposed.failure} if proposed.HasField("failure") else {"value": {"content": proposed.value}}
        )
        completion = message("RunCompletion", completion_id=id, **result).SerializeToString()
        (step,) = (entry.step for entry in self.invocation.journal if entry.type == protocol.RUN and entry.id == id)
        self.invocation.append(Entry(protocol.RUN_COMPLETION, completion, step, id))
        self._send(protocol.RUN_COMPLETION, completion)

    def _send(self, type: int, content: bytes) -> None:
        if not self._closed:
            self.sent.append({"type": "http.request", "body": frame(type, content), "more_body": True})

    def _close(self) -> None:
        if not self._closed:
            self._closed = True
            self.sent.append({"type": "http.request", "body": b"", "more_body": False})
