"""The judge finds each fault of an agent, and none in one without."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from offline_model.sockets import listen
from tour.runtime.frameworks import PYTHON, ROOT, Framework

FAULTS = {
    "": set[str](),
    "no step": {"a finished model call is not made again"},
    "random id": {"a crash does not change the answer"},
    "random order": {"a replay finds the same journal", "it ends"},
    "two effects": {"a finished HTTP request is not made again", "only a request that fails is made again"},
    "abandoned siblings": {"only a request that fails is made again"},
    "retried input": {"bad input is the caller's fault"},
}
"""The promises that each fault breaks."""


@pytest_asyncio.fixture(loop_scope="function")
async def world() -> AsyncIterator[str]:
    """A service that books everything."""

    async def book(request: Request) -> JSONResponse:
        return JSONResponse(f"{(await request.json())['what']}: booked")

    app = Starlette(routes=[Route("/{what}", book, methods=["POST"])])
    with listen("127.0.0.1", 0) as listener:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", lifespan="off"))
        serving = asyncio.create_task(server.serve([listener]))
        yield "http://{}:{}".format(*listener.getsockname())
        server.should_exit = True
        await serving


async def judged(*command: str | Path, env: dict[str, str] | None = None, body: Path | None = None) -> Any:
    arguments = ["judge", "--json", "-", *(["--body", body] if body else []), "--", *command]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from tour.cli import main; main()", *map(str, arguments)),
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **(env or {})},
        cwd=ROOT,
    )
    said, _ = await process.communicate()
    verdict = json.loads(said)
    assert process.returncode == (1 if any(each["holds"] is False for each in verdict["promises"]) else 0)
    return verdict


def broken(verdict: Any) -> set[str]:
    return {promise["name"] for promise in verdict["promises"] if promise["holds"] is False}


@pytest.mark.server
@pytest.mark.timeout(400)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_found(world: str, tmp_path: Path, fault: str) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"city": "Paris"}')
    agent = ROOT / "tests" / "tour" / "broken_agent.py"
    verdict = await judged(
        sys.executable, agent, env={"FAULT": fault, "WORLD": world, "PYTHONPATH": str(ROOT)}, body=body
    )
    assert broken(verdict) == FAULTS[fault], json.dumps(verdict, indent=1)


@pytest.mark.server
@pytest.mark.timeout(400)
@pytest.mark.parametrize("framework", PYTHON, ids=lambda framework: framework.name)
async def test_the_tour_s_agents_keep_their_promises(framework: Framework) -> None:
    if framework.keyed:
        pytest.skip("its request has a session")
    verdict = await judged(sys.executable, framework.entrypoint)
    assert broken(verdict) == set(), json.dumps(verdict, indent=1)
