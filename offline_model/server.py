"""The offline model over real HTTP: OpenAI Responses, OpenAI Chat and Gemini, with no key and no network.

The model is stateless and deterministic: `decide` computes a turn only from the conversation in the request. A
`Director` may replace an answer with a fault or a scripted turn. The model streams on request, as the providers do.
"""

import asyncio
import json
import logging
import socket
import threading
from collections.abc import Iterable
from contextlib import suppress
from importlib import import_module
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from offline_model.answers import Asked, answer
from offline_model.conversation import BadRequest
from offline_model.faults import Director
from offline_model.sockets import listen
from offline_model.wires.chat import CHAT
from offline_model.wires.gemini import GEMINI
from offline_model.wires.responses import RESPONSES
from offline_model.wires.wire import Wire

if TYPE_CHECKING:
    import uvicorn


def create_app(*, latency: float = 0.0, director: Director | None = None) -> Starlette:
    """The model as an ASGI app; each answer takes `latency` seconds.

    A streamed answer begins after half that time, and its chunks are spread over the other half.
    """

    def route(path: str, wire: Wire) -> Route:
        async def endpoint(request: Request) -> Response:
            try:
                body = _json_object(await request.body())
                streams = wire.streams(request, body)
                conversation = wire.parse(request.path_params, body)
            except BadRequest as error:
                return wire.failure(error.status, str(error))
            fault = None
            if director:
                fault = await run_in_threadpool(director.direct, conversation, conversation.turn)
            return await answer(Asked(request, wire, conversation, body, streams), fault, latency)

        return Route(path, endpoint, methods=["POST"])

    async def health(_: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        wire = GEMINI if "/models/" in request.url.path else CHAT
        return wire.failure(error.status_code, f"{request.method} {request.url.path}: {error.detail}")

    async def gone(_: Request, __: Exception) -> Response:
        return Response(status_code=400)

    routes = [Route("/health", health)]
    for caller in ("", "/{caller}"):
        routes += [route(f"{caller}/v1/responses", RESPONSES), route(f"{caller}/v1/chat/completions", CHAT)]
        for version in ("v1", "v1alpha", "v1beta"):
            routes.append(route(f"{caller}/{version}/models/{{model}}:{{method}}", GEMINI))
    app = Starlette(routes=routes, exception_handlers={HTTPException: unknown, ClientDisconnect: gone})
    app.state.stopping = asyncio.Event()
    return app


TYPES = {
    "OpenAI Responses": "openai.types.responses",
    "OpenAI Chat": "openai.types.chat",
    "Gemini": "google.genai.types",
}
"""The module with the response types of each wire. An import takes a second: in the first answer, or earlier."""


def serve(
    *, port: int = 0, latency: float = 0.0, director: Director | None = None, wires: Iterable[str] = TYPES
) -> None:
    """Serve on 127.0.0.1 until SIGTERM or Ctrl-C; prints the URL. Raises: OSError if the port is taken.

    It serves all wires; on those in `wires`, the first answer is as quick as the others.
    """
    with suppress(KeyboardInterrupt), listen("127.0.0.1", port) as listener:
        for wire in wires:
            import_module(TYPES[wire])
        server = _server(create_app(latency=latency, director=director))
        print(_url(listener), flush=True)
        server.run([listener])


def serve_in_thread(*, latency: float = 0.0, director: Director | None = None) -> str:
    """Serve from a daemon thread of this process, on a free port of 127.0.0.1; returns the base URL."""
    listener = listen("127.0.0.1", 0)  # early connections wait in its queue
    server = _server(create_app(latency=latency, director=director), ends=False)
    threading.Thread(target=server.run, args=([listener],), name="offline-model", daemon=True).start()
    return _url(listener)


def _json_object(body: bytes) -> dict[str, Any]:
    try:
        value = json.loads(body)
        json.dumps(value, ensure_ascii=False).encode()  # half a surrogate pair is JSON, but not text
    except (ValueError, RecursionError) as error:
        raise BadRequest(f"the body is not JSON: {error}") from None
    if not isinstance(value, dict):
        raise BadRequest("the body must be a JSON object")
    return value


def _no_cuts(record: logging.LogRecord) -> bool:
    return "returned without completing response" not in record.getMessage()


def _server(app: Starlette, *, ends: bool = True) -> "uvicorn.Server":
    import uvicorn

    class Server(uvicorn.Server):
        async def main_loop(self) -> None:
            # The usual loop looks ten times a second whether to end, and a process of the tests has a hundred servers.
            await (super().main_loop() if ends else asyncio.Event().wait())

        async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
            app.state.stopping.set()
            await super().shutdown(sockets)

    logging.getLogger("uvicorn.error").addFilter(_no_cuts)
    # A log_config would close the log handlers of this process. Clients keep idle connections for 5 s or more: a server
    # that closes them first breaks a request now and then.
    wire: Any = {"http": "h11", "ws": "none", "lifespan": "off", "timeout_keep_alive": 75}
    # uvloop, which uvicorn prefers, crashes a process that ends while a thread runs it.
    loop: Any = "auto" if ends else "asyncio"
    return Server(uvicorn.Config(app, **wire, loop=loop, log_config=None, log_level="warning", access_log=False))


def _url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://{host}:{port}"
