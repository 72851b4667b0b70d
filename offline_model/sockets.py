"""The listening socket of every server in the project."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any


def listen(host: str, port: int) -> socket.socket:
    """A TCP listener; port 0 takes a free one. Raises: OSError when the port is taken, OverflowError above 65535.

    A socket created in advance has no protocol number, and asyncio then leaves Nagle's algorithm on: every answer in
    two writes waits about 40 ms for the client's delayed acknowledgement. Accepted connections inherit the listener's
    setting.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.create_server((host, port), family=family, backlog=1024)
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


@asynccontextmanager
async def serving(app: Any, **config: Any) -> AsyncIterator[str]:
    """Serve an ASGI app on a free port of loopback, in this event loop, while the block runs; yields the address.

    `config` has uvicorn's options.
    """
    import uvicorn  # not at the start of each agent, which only listens

    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, **{"log_level": "warning", **config}))
        task = asyncio.create_task(server.serve([listener]))
        try:
            yield "http://{}:{}".format(*listener.getsockname())
        finally:
            server.should_exit = server.force_exit = True  # a client may keep its connection open
            await task
