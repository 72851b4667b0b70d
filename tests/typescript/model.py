"""A slow model that notices hang-ups: the offline model behind another server."""

import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx

from offline_model.server import create_app
from tour.runtime.processes import free_port


@dataclass
class Model:
    """The number of calls so far, and of those that the client has given up."""

    port: int
    seconds: float
    """The duration of a call."""
    asked: list[str] = field(default_factory=list)
    """The head of each request: its first line, and the headers."""
    given_up: int = 0
    changed: asyncio.Condition = field(default_factory=asyncio.Condition)

    async def until_asked(self, times: int) -> None:
        async with asyncio.timeout(20), self.changed:
            await self.changed.wait_for(lambda: len(self.asked) >= times)

    async def until_given_up(self, times: int) -> None:
        async with asyncio.timeout(5), self.changed:  # the SDK itself would wait for 120 s
            await self.changed.wait_for(lambda: self.given_up >= times)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        body = await reader.readexactly(int(length[1]) if length else 0)
        async with self.changed:
            self.asked.append(head)
            self.changed.notify_all()
        if await self._is_given_up(reader):
            async with self.changed:
                self.given_up += 1
                self.changed.notify_all()
        else:
            _, path, _ = head.split(" ", 2)
            async with httpx.AsyncClient(transport=httpx.ASGITransport(create_app()), base_url="http://model") as model:
                answer = await model.post(path, content=body)
            said = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\n"
            writer.write(f"{said}content-length: {len(answer.content)}\r\n\r\n".encode() + answer.content)
            await writer.drain()
        writer.close()

    async def _is_given_up(self, reader: asyncio.StreamReader) -> bool:
        try:
            async with asyncio.timeout(self.seconds):
                return await reader.read(1) == b""
        except TimeoutError:
            return False
        except ConnectionResetError:
            return True


@asynccontextmanager
async def answering(seconds: float = 0.0, tls: ssl.SSLContext | None = None) -> AsyncIterator[Model]:
    """A model on loopback, while the block runs."""
    model = Model(free_port(), seconds)
    server = await asyncio.start_server(model.serve, "127.0.0.1", model.port, ssl=tls)
    try:
        yield model
    finally:
        server.close()
