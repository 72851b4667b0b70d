"""The proxy's faults work as documented."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager

import pytest

from tests.faults.proxy import Direction, Proxy, Streams, proxying
from tour.runtime.processes import free_port


@asynccontextmanager
async def echo(shown: list[bytes]) -> AsyncIterator[Proxy]:
    """A proxy to an echo server; `shown` are the bytes that the server got."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while data := await reader.read(100):
                shown.append(data)
                writer.write(data)
        except OSError:
            shown.append(b"reset")
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port := free_port())
    async with proxying(port) as proxy:
        yield proxy
    server.close()


Open = Callable[[Proxy], Coroutine[None, None, Streams]]


@pytest.fixture
async def opened() -> AsyncIterator[Open]:
    """Opens a connection through the proxy, and sends something that comes back."""
    writers = []

    async def open_one(proxy: Proxy) -> Streams:
        reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
        writers.append(writer)
        writer.write(b"one")
        if await reader.read(100) != b"one":
            raise ConnectionResetError
        return reader, writer

    yield open_one
    for writer in writers:
        writer.close()


async def test_bytes_pass_both_ways_to_the_end(opened: Open) -> None:
    shown = list[bytes]()
    async with echo(shown) as proxy:
        reader, writer = await opened(proxy)
        writer.write_eof()
        assert await reader.read(100) == b""
        assert shown == [b"one"]


async def test_cut_resets_both_sides_and_new_connections_are_made(opened: Open) -> None:
    shown = list[bytes]()
    async with echo(shown) as proxy:
        reader, _ = await opened(proxy)
        proxy.cut()
        with pytest.raises(ConnectionResetError):
            await reader.read(100)
        await opened(proxy)
        assert shown == [b"one", b"reset", b"one"]


async def test_a_delay_makes_each_chunk_late(opened: Open) -> None:
    async with echo([]) as proxy:
        proxy.delay, began = 0.1, time.monotonic()
        await opened(proxy)
        assert time.monotonic() - began >= 0.2, "there and back"


async def test_what_is_held_arrives_when_the_network_is_healed(opened: Open) -> None:
    async with echo([]) as proxy:
        reader, writer = await opened(proxy)
        proxy.hold()
        writer.write(b"two")
        late = asyncio.create_task(opened(proxy))
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(100), 0.1)
        assert not late.done()
        proxy.heal()
        assert await reader.read(100) == b"two"
        await late


async def test_some_connections_are_held_and_others_are_not(opened: Open) -> None:
    async with echo([]) as proxy:
        (_, writer), (other, to_other) = await opened(proxy), await opened(proxy)
        mine = writer.get_extra_info("sockname")[1]
        proxy.hold(lambda connection: connection.source == mine)
        assert [connection.flowing.is_set() for connection in proxy.connections].count(False) == 1
        to_other.write(b"two")
        assert await other.read(100) == b"two"


@pytest.mark.parametrize(("direction", "arrived"), [("there", [b"one"]), ("back", [b"one", b"two"])])
async def test_half_open_loses_bytes_in_one_direction(opened: Open, direction: Direction, arrived: list[bytes]) -> None:
    shown = list[bytes]()
    async with echo(shown) as proxy:
        reader, writer = await opened(proxy)
        proxy.lose(direction)
        writer.write(b"two")
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(reader.read(100), 0.1)
        assert shown == arrived
        await opened(proxy)
        proxy.heal()
        with pytest.raises(ConnectionResetError):
            await reader.read(100)


async def test_who_ends_a_half_open_connection_is_not_heard(opened: Open) -> None:
    shown = list[bytes]()
    async with echo(shown) as proxy:
        _, writer = await opened(proxy)
        proxy.lose("there")
        writer.transport.abort()
        await asyncio.sleep(0.1)
        assert shown == [b"one"]
        proxy.heal()
        await opened(proxy)
        assert shown == [b"one", b"reset", b"one"]


async def test_no_target(opened: Open) -> None:
    async with proxying(free_port()) as proxy:
        with pytest.raises(ConnectionResetError):
            await opened(proxy)
