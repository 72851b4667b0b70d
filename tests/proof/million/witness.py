"""Records the bytes that Restate sends to an agent, between the HTTP server and the SDK."""

import itertools
import re
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextvars import ContextVar
from typing import Any

from tests.proof.million.evidence import Evidence, Kind, Life, Record

SERVER_START = b"x-server-start"
"""The header with the number of the server's start."""

attempt = ContextVar[tuple[Life, int]]("attempt")
"""The attempt in which a step runs."""

Receive = Callable[[], Awaitable[Any]]
Send = Callable[[Any], Awaitable[None]]


class Messages:
    """Finds the completions of steps in the bytes that Restate sends, by its service protocol."""

    HEADER = struct.Struct(">HHI")
    """The type of a message, its flags, and the length of its body, which follows."""
    RUN_COMPLETION = 0x8011
    RESULT = re.compile(rb'"(\d{7})\.(\d{4})\.([0-9a-f]{8})"$')
    """The body ends with the step's result, as JSON."""

    def __init__(self) -> None:
        self._bytes = b""

    def completions(self, received: bytes) -> Iterator[tuple[int, int, int]]:
        """The invocation, step and run of each completion that ends in these bytes."""
        self._bytes += received
        at = 0
        while len(self._bytes) >= at + self.HEADER.size:
            kind, _, length = self.HEADER.unpack_from(self._bytes, at)
            end = at + self.HEADER.size + length
            if len(self._bytes) < end:
                break
            if kind == self.RUN_COMPLETION:
                found = self.RESULT.search(self._bytes, at + self.HEADER.size, end)
                assert found, self._bytes[at:end]
                yield int(found[1]), int(found[2]), int(found[3], 16)
            at = end
        self._bytes = self._bytes[at:]


def witnessed(app: Any, evidence: Evidence, agent: int, start: int) -> Any:
    """The same ASGI app, which records each received completion before the SDK can act on it."""
    attempts = itertools.count()

    async def witness(
        scope: Any, receive: Callable[[], Awaitable[Any]], send: Callable[[Any], Awaitable[None]]
    ) -> None:
        headers = dict(scope.get("headers", ()))
        if SERVER_START not in headers or "/invoke/" not in scope["path"]:
            await app(scope, receive, send)
            return
        this = (Life(agent, start, int(headers[SERVER_START])), next(attempts))
        attempt.set(this)
        messages, connected = Messages(), True

        async def received() -> Any:
            nonlocal connected
            event = await receive()
            connected = connected and event["type"] != "http.disconnect"
            for completion in messages.completions(event.get("body", b"")):
                evidence.append(Record(Kind.COMPLETED, *this, *completion))
            return event

        async def sent(event: Any) -> None:
            if connected and event["type"] == "http.response.body" and not event.get("more_body"):
                evidence.append(Record(Kind.ENDED, *this))
            await send(event)

        await app(scope, received, sent)

    return witness
