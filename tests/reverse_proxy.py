"""A reverse proxy on loopback with only HTTP/1.1. It may require a token, like Restate Cloud's gateway."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from offline_model.sockets import listen

OF_A_CONNECTION = {"host", "connection", "transfer-encoding", "content-length", "content-encoding", "accept-encoding"}


@dataclass
class ReverseProxy:
    """The address of a proxy, and the requests that it has seen."""

    url: str
    answered: list[tuple[str, str, int]] = field(default_factory=list)
    """Method, path and status of each request."""


@asynccontextmanager
async def in_front_of(target: str, token: str = "") -> AsyncIterator[ReverseProxy]:
    """A proxy in front of the server at `target`. It does not forward the token, and answers 401 without it."""
    with listen("127.0.0.1", 0) as listener:
        proxy = ReverseProxy(f"http://127.0.0.1:{listener.getsockname()[1]}")
        async with httpx.AsyncClient(base_url=target, timeout=None, trust_env=False) as client:

            async def forward(request: Request) -> Response:
                headers = {name: value for name, value in request.headers.items() if name not in OF_A_CONNECTION}
                if token and headers.pop("authorization", "") != f"Bearer {token}":
                    answer = Response("no entry", 401)
                else:
                    url = httpx.URL(path=request.url.path, query=request.url.query.encode())
                    got = await client.request(request.method, url, headers=headers, content=await request.body())
                    kept = {name: value for name, value in got.headers.items() if name not in OF_A_CONNECTION}
                    answer = Response(got.content, got.status_code, kept)
                proxy.answered.append((request.method, request.url.path, answer.status_code))
                return answer

            methods = ["GET", "POST", "PUT", "PATCH", "DELETE"]
            app = Starlette(routes=[Route("/{path:path}", forward, methods=methods)])
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", timeout_graceful_shutdown=1))
            serving = asyncio.create_task(server.serve(sockets=[listener]))
            try:
                yield proxy
            finally:
                server.should_exit = True
                await serving
