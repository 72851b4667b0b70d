"""The judge finds each fault of an agent, and none in a correct agent."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from offline_model.sockets import serving
from shared.claims import sample_claims
from tests.nightly import by_night
from tour.new import project
from tour.runtime import stack
from tour.runtime.frameworks import BY_NAME, FRAMEWORKS, ROOT, Framework

FAULTS = {
    "": set[str](),
    "no step": {"a finished model call is not made again"},
    "process in the prompt": {"a replay sends the model the same request"},
    "random order": {"a replay finds the same journal"},
    "two effects": {"a finished HTTP request is not made again"},
    "abandoned siblings": {"only a request that fails is made again"},
    "retried input": {"bad input is the caller's fault"},
}
"""The promises that each fault must break; it may break others."""

LOOP = BY_NAME["restate_loop"]
OTHERS = [framework for framework in FRAMEWORKS if framework != LOOP]
PYTHON_SDKS = [framework for framework in OTHERS if not framework.on_node]


@pytest_asyncio.fixture(loop_scope="function")
async def world() -> AsyncIterator[str]:
    """A service that books everything."""

    async def book(request: Request) -> JSONResponse:
        return JSONResponse(f"{(await request.json())['what']}: booked")

    app = Starlette(routes=[Route("/{what}", book, methods=["POST"])])
    async with serving(app, lifespan="off") as url:
        yield url


async def judged(*command: str | Path, env: dict[str, str] | None = None, request: Sequence[str | Path] = ()) -> Any:
    arguments = ["judge", "--json", "-", *request, "--", *command]
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


def claim_file(framework: Framework, folder: Path) -> Path:
    file = folder / "claim.json"
    file.write_text(json.dumps(framework.body(sample_claims()["broken-leg"])))
    return file


def broken(verdict: Any) -> set[str]:
    return {promise["name"] for promise in verdict["promises"] if promise["holds"] is False}


@pytest.mark.server
@pytest.mark.in_turn(1)
@pytest.mark.timeout(400)
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_fault_is_found(world: str, tmp_path: Path, fault: str) -> None:
    body = tmp_path / "body.json"
    body.write_text('{"city": "Paris"}')
    agent = ROOT / "tests" / "tour" / "broken_agent.py"
    verdict = await judged(
        sys.executable,
        agent,
        env={"FAULT": fault, "WORLD": world, "PYTHONPATH": str(ROOT)},
        request=["--body", body],
    )
    assert broken(verdict) >= FAULTS[fault]
    assert bool(fault) == bool(broken(verdict)), json.dumps(verdict, indent=1)


@pytest.mark.server
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "framework", [pytest.param(LOOP, marks=pytest.mark.in_turn(1)), *by_night(OTHERS)], ids=lambda each: each.name
)
async def test_the_tour_s_agents_keep_their_promises(tmp_path: Path, framework: Framework) -> None:
    verdict = await judged(*stack.command(framework.entrypoint), request=["--body", claim_file(framework, tmp_path)])
    assert broken(verdict) == set(), json.dumps(verdict, indent=1)


@pytest.mark.server
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "framework",
    [pytest.param(LOOP, marks=pytest.mark.in_turn(1)), *by_night(PYTHON_SDKS)],
    ids=lambda each: each.name,
)
async def test_the_documented_pattern_breaks_two(world: str, tmp_path: Path, framework: Framework) -> None:
    """The faults in docs/verification.md: bad input, and siblings. The checks call a service that the judge sees."""
    agent = framework.home / "twins" / "documented_agent.py"
    verdict = await judged(
        *(sys.executable, "-m", "tests.tour.checks_over_http", agent),
        env={"WORLD": world, "PYTHONPATH": str(ROOT)},
        request=["--body", claim_file(framework, tmp_path)],
    )
    two = {"only a request that fails is made again", "bad input is the caller's fault"}
    assert broken(verdict) == two, json.dumps(verdict, indent=1)


@pytest.mark.server
@pytest.mark.timeout(400)
@pytest.mark.parametrize(
    "sdk",
    [
        pytest.param("restate-loop", marks=pytest.mark.in_turn(1)),
        *by_night(sdk for sdk in project.SDKS if sdk != "restate-loop"),
    ],
)
async def test_a_new_agent_keeps_its_promises(tmp_path: Path, sdk: str) -> None:
    framework = project.SDKS[sdk]
    if framework.on_node:  # a new project has packages of its own: this is the file that it gets
        agent = framework.home / "twins/my_agent.ts"
    else:
        project.write(tmp_path / "my_agent", sdk)
        agent = tmp_path / "my_agent" / project.file_name("my_agent", sdk)
    verdict = await judged(*stack.command(agent), request=["--text", "Book a weekend in Lisbon."])
    assert broken(verdict) == set(), json.dumps(verdict, indent=1)
    visible = {promise["name"] for promise in verdict["promises"] if promise["holds"]}
    assert {"it ends", "a finished model call is not made again", "bad input is the caller's fault"} <= visible
    assert any("whether flight, hotel, car" in line for line in verdict["unseen"])  # they make no request
    crashes = next(each for each in verdict["promises"] if "does not change the answer" in each["name"])
    steps = 6 if framework.keyed else 5  # to store a session takes no time in which a kill could hit it
    assert f"in the middle of 5 of {steps} steps, before 2 of 2 answers" in crashes["seen"]
