"""The insurer: an HTTP service that examines claims, files findings, pays, and writes letters.

uv run python -m workshop.ch13_the_judge.insurer

The functions are the service's client; `INSURER_URL` is its address. They use the proxy of `HTTP_PROXY`, also on
loopback, so that the judge sees each request.
"""

import argparse
import asyncio
import json
import os
from collections.abc import Mapping

import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from offline_model.sockets import listen
from shared.checks import CHECKS
from shared.claims import InsuranceClaim

DEFAULT_PORT = 8096

EXAMINATIONS = {"eligibility": 0.4, "cost": 0.2, "fraud": 0.0}
"""The seconds that each examination takes: the first to begin is the last to end."""


async def examine(check: str, claim: InsuranceClaim) -> str:
    """The result of one of the three checks."""
    return await _post(f"/examinations/{check}", claim.model_dump(mode="json"))


async def file(check: str, finding: str) -> str:
    """Put a finding into the claim's file; returns `filed`."""
    return await _post(f"/findings/{check}", {"finding": finding})


async def pay(reference: str, amount: float) -> str:
    """Pay; returns `paid`. A second request with the same reference is a second payment."""
    return await _post("/payments", {"reference": reference, "amount": amount})


async def write(reference: str, decision: str) -> str:
    """Send a letter to the customer; returns `sent`."""
    return await _post("/letters", {"reference": reference, "decision": decision})


async def _post(path: str, body: Mapping[str, object]) -> str:
    url = os.environ.get("INSURER_URL") or f"http://127.0.0.1:{DEFAULT_PORT}"
    async with httpx2.AsyncClient(proxy=os.environ.get("HTTP_PROXY") or None, trust_env=False, timeout=30) as client:
        return str((await client.post(url + path, json=body)).raise_for_status().json())


async def _examination(request: Request) -> JSONResponse:
    check = CHECKS[request.path_params["check"]]
    await asyncio.sleep(EXAMINATIONS[check.name])
    return JSONResponse(await check.function(InsuranceClaim.model_validate_json(await request.body())))


def _answering(answer: str) -> Route:
    async def endpoint(request: Request) -> JSONResponse:
        print(request.method, request.url.path, json.dumps(await request.json()), flush=True)
        return JSONResponse(answer)

    paths = {"filed": "/findings/{check}", "paid": "/payments", "sent": "/letters"}
    return Route(paths[answer], endpoint, methods=["POST"])


desk = Starlette(
    routes=[
        Route("/health", lambda request: JSONResponse("open")),
        Route("/examinations/{check}", _examination, methods=["POST"]),
        *map(_answering, ("filed", "paid", "sent")),
    ]
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--port", type=int, default=DEFAULT_PORT)
    with listen("127.0.0.1", parser.parse_args().port) as listener:
        server = uvicorn.Server(uvicorn.Config(desk, log_level="critical", lifespan="off"))
        asyncio.run(server.serve([listener]))


if __name__ == "__main__":
    main()
