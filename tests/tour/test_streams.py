"""The reader of an event stream, from a server that breaks off."""

import asyncio

import httpx
import pytest

from tour.runtime.streams import events, put_together

START = b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream; charset=utf-8\r\n\r\n"
ANSWERS = [
    START
    + 'id: 0\ndata: {"type": "TEXT_MESSAGE_CONTENT", "messageId": "1", "delta": "a\u2028b"}\n\n: waits\n\n'.encode()
    + b'id: 1\ndata: {"type": "TEXT_MESSAGE_CON',
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n",
    START
    + b'id: 1\ndata: {"type": "CUSTOM", "name": "restart", "value": {"messageId": "1"}}\n\n'
    + b'id: 2\ndata: {"type": "TEXT_MESSAGE_CONTENT", "messageId": "1.2", "delta": "a"}\n\n'
    + 'id: 3\ndata: {"type": "TEXT_MESSAGE_CONTENT", "messageId": "1.2", "delta": "é"}\n\n'.encode()[:-4],
    START + b'id: 3\ndata: {"type": "RUN_FINISHED"}\n\n',
    b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
]


async def test_each_event_comes_once_from_a_server_that_breaks_off() -> None:
    asked, answers = [], iter(ANSWERS)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await reader.readuntil(b"\r\n\r\n")
        asked.append(next(line for line in request.decode().split("\r\n") if "last-event-id" in line))
        writer.write(next(answers))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    texts, ids, at = dict[str, str](), [], []
    async with server:
        async for id, event in events(url, "inv_1"):
            put_together(texts, event)
            ids.append(id)
            at.append(dict(texts))
        with pytest.raises(httpx.HTTPStatusError):
            await anext(events(url, "inv_1"))
    assert ids == [0, 1, 2, 3]
    assert asked == [f"last-event-id: {last}" for last in (-1, 0, 0, 2, -1)]
    assert at == [{"1": "a\u2028b"}, {}, {"1.2": "a"}, {"1.2": "a"}]
