"""A TCP proxy on loopback whose connections can be cut, slowed or held, or lose bytes. It records the sent bytes.

The dependencies include no such proxy: Envoy's faults concern whole HTTP requests.
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
"""`there`: from the program that opened the connection to the target; `back`: from the target to the program."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(eq=False)
class Connection:
    """A connection through the proxy; `source` is the port of the program that opened it."""

    source: int
    task: asyncio.Task[None]
    flowing: asyncio.Event = field(default_factory=asyncio.Event)
    losing: set[Direction] = field(default_factory=set)
    """The directions that lose bytes, including the end of the connection."""
    ended: asyncio.Event = field(default_factory=asyncio.Event)
    writers: list[asyncio.StreamWriter] = field(default_factory=list)
    sent: bytearray = field(default_factory=bytearray)
    """The bytes that the program has sent to the target so far."""

    async def passing(self, direction: Direction) -> None:
        """Wait until one side's end of the connection may reach the other side, in this direction."""
        await self.flowing.wait()
        if direction in self.losing:
            await self.ended.wait()

    def reset(self) -> None:
        """End the connection with a TCP reset on both sides."""
        for writer in self.writers:
            end: socket.socket = writer.get_extra_info("socket")
            with contextlib.suppress(OSError):  # it has ended
                end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self.ended.set()


Which = Callable[[Connection], bool]


@dataclass
class Proxy:
    """Forwards `port` to the port `target`. Faults begin at once, and last until `heal`."""

    target: int
    """The target's port. If it changes, new connections go to the new target."""
    port: int
    delay: float = 0.0
    """The delay of each chunk, in seconds."""
    connections: set[Connection] = field(default_factory=set)
    _held: Which = lambda connection: False

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def cut(self) -> None:
        """Reset all connections. New connections work as before."""
        for connection in self.connections:
            connection.reset()

    def lose(self, direction: Direction) -> None:
        """Lose all bytes in this direction: each connection is half-open. New connections work as before."""
        for connection in self.connections:
            connection.losing.add(direction)

    def hold(self, which: Which = lambda connection: True) -> None:
        """Hold all bytes on these connections, like a cut network: they arrive later.

        A new connection is opened, and then also held.
        """
        self._held = which
        for connection in filter(which, self.connections):
            connection.flowing.clear()

    def heal(self) -> None:
        """Release all held bytes. Resets connections that have lost bytes, because TCP has no gaps."""
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
