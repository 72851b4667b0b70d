"""The HTTP interface of the agents without Restate, so that the benchmark treats all alike.

    POST /run/{id}   a claim as JSON: 200 and the decision as a JSON string; 400, with the field's name, for a bad claim
    GET /health      200 once the agent is ready: the store of a peer is open, and any recovery has begun

For a peer, an id stands for one workflow: a second request with it gets the result of the running, ended or recovered
workflow.
"""

import os
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar

from pydantic import ValidationError
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from lab.observed import observed
from shared import checks
from shared.claims import InsuranceClaim, invalid
from shared.serving import serve_app

Claim = TypeVar("Claim", bound=InsuranceClaim)

CHECKS = {name: observed(name)(check.function) for name, check in checks.CHECKS.items()}
"""The checks, watched by the lab: an agent on Restate has this from `shared.serving`."""


STREAMS = bool(os.environ.get("PLAIN_STREAMS"))
"""Whether an agent without Restate streams its model calls: for the cost of that alone."""


def serve_http(
    name: str,
    kind: type[Claim],
    run: Callable[[str, Claim], Awaitable[str]],
    lifespan: Callable[[Starlette], AbstractAsyncContextManager[Any]] | None = None,
) -> None:
    """Serve on `HOST`:`PORT` until SIGTERM or Ctrl-C; `run` is given the id and the claim.

    The block of `lifespan` is entered before the first request, in the event loop of the requests.
    """

    async def handle(request: Request) -> JSONResponse:
        try:
            claim = kind.model_validate_json(await request.body())
        except ValidationError as error:
            return JSONResponse({"message": f"invalid claim: {invalid(error)}"}, status_code=400)
        return JSONResponse(await run(request.path_params["id"], claim))

    async def health(request: Request) -> JSONResponse:
        return JSONResponse("ok")

    routes = [Route("/run/{id}", handle, methods=["POST"]), Route("/health", health)]
    serve_app(Starlette(routes=routes, lifespan=lifespan), name)


def serve_plain(kind: type[Claim], run: Callable[[Claim], Awaitable[str]]) -> None:
    """Serve an agent that is not durable: for it, each id is a new claim."""

    async def run_any(id: str, claim: Claim) -> str:
        return await run(claim)

    serve_http("the agent without Restate", kind, run_any)
