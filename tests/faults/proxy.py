"""A TCP proxy on loopback whose connections are cut, slowed, held, or lose bytes. It keeps what is sent to the target.

The dependencies have none: the faults of Envoy are those of whole HTTP requests.
"""

import asyncio
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import Literal

from tour.runtime import stack
from tour.runtime.frameworks import Pattern
from tour.runtime.processes import free_port
from tour.runtime.stack import Stack

Direction = Literal["there", "back"]
"""`there`: from the program that has opened the connection to the target; `back`: from the target to it."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(eq=False)
class Connection:
    """A connection through the proxy; `source` is the port of the program that has opened it."""

    source: int
    task: asyncio.Task[None]
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    losing: set[Direction] = field(default_factory=set)
    """The directions in which bytes are lost, and the news that one side has ended the connection."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    sent: bytearray = field(default_factory=bytearray)
    """All that the program has sent to the target so far."""

    async def passing(self, direction: Direction) -> None:
        """Wait until the end of one side may be told to the other, in this direction."""
        await self.flowing.wait()
        if direction in self.losing:
            await self.ended.wait()

    def reset(self) -> None:
        """End it with a TCP reset on both sides."""
        for writer in self.writers:
            end: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # it has ended
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self.ended.set()


Which = Callable[[Connection], bool]


@dataclass
class Proxy:
    """What comes to `port` goes to the port `target`. Faults begin at once, and last until `heal`."""

    target: int
    """It may change: then the next connections go to the new one."""
    port: int
    delay: float = 0.0
    """Seconds by which each chunk is late."""
    connections: set[Connection] = field(default_factory=set)
    _held: Which = lambda connection: False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset all connections. New ones are made as before."""
        for connection in self.connections:
            connection.reset()

    def lose(self, direction: Direction) -> None:
        """Lose all bytes in this direction: each connection is half-open. New ones are made as before."""
        for connection in self.connections:
            connection.losing.add(direction)

    def hold(self, which: Which = lambda connection: True) -> None:
        """Let nothing through on these connections, as a network that is cut: bytes that are sent now arrive later.

        A new connection is opened, and then held, too.
        """
        self._held = which
        for connection in filter(which, self.connections):
            connection.flowing.clear()

    def heal(self) -> None:
        """Let everything through that is held. A connection that has lost bytes is reset, since TCP has no gaps."""
        self._held = lambda connection: False
        for connection in self.connections:
            connection.flowing.set()
            if connection.losing:
                connection.reset()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Handle a new connection to the proxy, to its end."""
        task = asyncio.current_task()
        assert task
        connection = Connection(writer.get_extra_info("peername")[1], task, writers=[writer])
        self.connections.add(connection)
        if not self._held(connection):
            connection.flowing.set()
        try:
            await connection.flowing.wait()
            target = await asyncio.open_connection("127.0.0.1", self.target)
            connection.writers.append(target[1])
            async with asyncio.TaskGroup() as group:
                group.create_task(self._pump(connection, "there", reader, target[1]))
                group.create_task(self._pump(connection, "back", target[0], writer))
        except* OSError:  # one side has ended it, or the target refuses it: the other side is told below
            pass
        finally:
            connection.reset()
            self.connections.discard(connection)

    async def _pump(
        self, connection: Connection, direction: Direction, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            try:
                data = await reader.read(65_536)
            except OSError:
                await connection.passing(direction)
                raise
            if direction == "there":
                connection.sent += data
            await asyncio.sleep(self.delay)
            await connection.flowing.wait()
            if data and direction in connection.losing:
                continue
            await connection.passing(direction)
            if not data:
                writer.write_eof()
                return
            try:
                writer.write(data)
                await writer.drain()
            except OSError:
                await connection.passing("back" if direction == "there" else "there")
                raise


@asynccontextmanager
async def proxying(target: int = 0) -> AsyncIterator[Proxy]:
    """A proxy to this port of loopback, while the block runs."""
    proxy = Proxy(target, free_port())
    server = await asyncio.start_server(proxy.serve, "127.0.0.1", proxy.port)
    try:
        yield proxy
    finally:
        server.close()
        proxy.heal()
        proxy.cut()
        await asyncio.gather(*(connection.task for connection in proxy.connections))


@asynccontextmanager
async def before_the_agents(running: Stack, pattern: Pattern) -> AsyncIterator[dict[str, Proxy]]:
    """A proxy before each agent of a pattern, by the framework's name, while the block runs.

    Restate sends new claims through them.
    """
    proxies = {}
    async with AsyncExitStack() as exits:
        for name, agent in running.agents_of(pattern).items():
            proxies[name] = await exits.enter_async_context(proxying(agent.port))
            await stack.register(running.admin, proxies[name].url)
        yield proxies
