"""The HTTP interface of every peer, so that the benchmark treats all alike.

    POST /run/{id}   a claim as JSON: 200 and the decision as a JSON string; 400, with the field's name, for a bad claim
    GET /health      200 once the peer is ready: its store is open, and its recovery, if it has one, has begun

An id stands for one workflow: a second request with it gets the result of the running, ended or recovered workflow.
"""

import asyncio
import os
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeAlias

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from shared.claims import InsuranceClaim, invalid
from shared.serving import serve_app

Run: TypeAlias = Callable[[str, InsuranceClaim], Coroutine[Any, Any, str]]
Lifespan: TypeAlias = Callable[[Starlette], AbstractAsyncContextManager[Any]]


def store() -> str:
    """The address of the peer's store: `PEER_STORE`, such as `sqlite:////tmp/peer.db` or `postgresql://…`."""
    return os.environ["PEER_STORE"]


def once(run: Run) -> Run:
    """`run` for a peer that would run the same id twice at once: here, the second caller waits for the first one's run.

    A caller that disconnects does not end the run.
    """
    running: dict[str, asyncio.Task[str]] = {}

    async def run_once(id: str, claim: InsuranceClaim) -> str:
        if id not in running:
            running[id] = asyncio.create_task(run(id, claim))
            running[id].add_done_callback(lambda _: running.pop(id))
        return await asyncio.shield(running[id])

    return run_once


def serve_peer(name: str, run: Run, lifespan: Lifespan) -> None:
    """Serve on `HOST`:`PORT` until SIGTERM or Ctrl-C. `run` gives the same id the same workflow.

    The block of `lifespan` is entered before the first request, in the event loop of the requests.
    """

    async def handle(request: Request) -> JSONResponse:
        try:
            claim = InsuranceClaim.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"message": f"invalid claim: {invalid(error)}"}, status_code=400)
        return JSONResponse(await run(request.path_params["id"], claim))

    async def health(request: Request) -> JSONResponse:
        return JSONResponse("ok")

    routes = [Route("/run/{id}", handle, methods=["POST"]), Route("/health", health)]
    serve_app(Starlette(routes=routes, lifespan=lifespan), name)
