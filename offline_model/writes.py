"""An answer in several timed writes, which stop when nobody wants it any more."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from offline_model.changes import dumped

Write: TypeAlias = tuple[float, bytes]
"""The time, in seconds after the answer's start, and the bytes."""


def event(data: Any, *, escaped: bool = True) -> bytes:
    """A server-sent event. The `type` of the data names the event, as on OpenAI's Responses wire."""
    kind = data.get("type") if isinstance(data, dict) else None
    name = f"event: {kind}\n".encode() if isinstance(kind, str) and re.fullmatch("[a-z_.]+", kind) else b""
    return name + b"data: " + dumped(data, escaped=escaped) + b"\n\n"


def in_character(data: bytes) -> list[bytes]:
    """The data in two parts, split inside its first non-ASCII character, if it has one."""
    return re.split(rb"(?<=[\xc2-\xf4])(?=[\x80-\xbf])", data, maxsplit=1)


class Writes(StreamingResponse):
    """Sends each write when it is due. If the answer is incomplete, uvicorn then closes the connection."""

    def __init__(self, request: Request, writes: Sequence[Write], media_type: str, *, whole: bool = True) -> None:
        super().__init__((), media_type=media_type)
        self._request, self._writes, self._whole = request, writes, whole

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        start = time.monotonic()
        async with wanted(self._request) as wait:
            for at, data in self._writes:
                if not await wait(start + at - time.monotonic()):
                    return
                await send({"type": "http.response.body", "body": data, "more_body": True})
        if self._whole:
            await send({"type": "http.response.body", "body": b""})


@asynccontextmanager
async def wanted(request: Request) -> AsyncIterator[Callable[[float], Awaitable[bool]]]:
    """Yields a function that waits for some seconds, and returns False early when the client or the server stops."""

    async def hung_up() -> None:
        while (await request.receive())["type"] != "http.disconnect":
            pass

    ends = {asyncio.create_task(hung_up()), asyncio.create_task(request.app.state.stopping.wait())}

    async def wait(seconds: float) -> bool:
        if seconds > 0:
            await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return not any(task.done() for task in ends)

    try:
        yield wait
    finally:
        for task in ends:
            task.cancel()
        await asyncio.gather(*ends, return_exceptions=True)
