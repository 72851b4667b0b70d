"""Each entrypoint alone, as in the README: plain service name, no key, one port."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from shared.claims import sample_claims
from tour.runtime import journal, restate_server, stack
from tour.runtime.errors import TourError
from tour.runtime.frameworks import PYTHON, ROOT, Framework
from tour.runtime.processes import Process, free_port, running, start
from tour.runtime.restate_server import Ports, Restate

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.server, pytest.mark.real_starts]

KEYLESS = dict.fromkeys(("OPENAI_API_KEY", "OPENAI_BASE_URL", "GOOGLE_API_KEY", "GOOGLE_GEMINI_BASE_URL"), "")
ELSEWHERE = {
    **{"GOOGLE_GENAI_USE_VERTEXAI": "true", "GOOGLE_CLOUD_PROJECT": "p", "GOOGLE_GENAI_API_VERSION": "v1"},
    **{"GOOGLE_GENAI_USE_ENTERPRISE": "true", "GOOGLE_GENAI_CLIENT_MODE": "replay"},
    **dict.fromkeys(("OPENAI_API_BASE", "OPENAI_PROXY", "LANGSMITH_GATEWAY"), "http://127.0.0.1:9"),
}
"""Variables of the SDKs that lead away from the model's address, unless ours override them."""
each_framework = pytest.mark.parametrize(
    "framework",
    [pytest.param(framework, id=framework.name, marks=pytest.mark.in_turn(2)) for framework in PYTHON],
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def restate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Restate]:
    folder = tmp_path_factory.mktemp("restate")
    async with restate_server.serving(folder / "data", folder / "log", ports=Ports.free()) as server:
        yield server


async def entrypoint(framework: Framework, script: str, log: Path, env: dict[str, str]) -> tuple[Process, str]:
    """Start an entrypoint on a free port; returns the process and its address once it listens."""
    port = free_port()
    process = await start(
        framework.name, [sys.executable, ROOT / framework.name / script], log, env | {"PORT": str(port)}
    )
    url = f"http://127.0.0.1:{port}"
    await process.until(f"{url}/health")
    return process, url


async def call(restate: Restate, agent: str, path: str, body: object) -> httpx.Response:
    async with httpx.AsyncClient(timeout=60) as client:
        client.base_url = restate.admin
        await stack.register(client, agent)
        return await client.post(f"{restate.ingress}/restate/call/{path}", json=body)


@each_framework
async def test_alone_without_a_key(restate: Restate, framework: Framework, tmp_path: Path) -> None:
    process, url = await entrypoint(framework, "parallel_tools_agent.py", tmp_path / "log", KEYLESS | ELSEWHERE)
    try:
        body = framework.body(sample_claims()["broken-leg"])
        response = await call(restate, url, framework.path("user123", alone=True), body)
        assert response.status_code == 200, process.log_tail()
        assert response.json().startswith("Approved:")
        assert process.log.read_text().count("using the offline model") == 1
        response = await call(restate, url, framework.path("user123", alone=True), body | {"amount": -1})
        assert (response.status_code, response.json()["message"].split(": ")[:2]) == (400, ["invalid claim", "amount"])
    finally:
        began = time.monotonic()
        process.child.terminate()
        await process.child.wait()
    assert time.monotonic() - began < 5  # 2 s on a machine that does nothing else
    assert process.child.returncode == 0


@each_framework
async def test_with_a_key_and_no_model_the_error_names_the_cause_and_not_the_key(
    restate: Restate, framework: Framework, tmp_path: Path
) -> None:
    key, nowhere = "sk-secret-of-the-tour", f"http://127.0.0.1:{free_port()}"
    env = {  # from a `.env` of Windows, read by a shell
        "OPENAI_API_KEY": f"{key}\r",
        "OPENAI_BASE_URL": f"{nowhere}/v1\r",
        "GOOGLE_API_KEY": f"{key}\r",
        "GOOGLE_GEMINI_BASE_URL": f"{nowhere}\r",
    }
    process, url = await entrypoint(framework, "parallel_tools_agent.py", tmp_path / "log", env)
    try:
        body = framework.body(sample_claims()["broken-leg"], session="unreachable")
        response = await call(restate, url, framework.path("user123", alone=True), body)
    finally:
        await process.stop()
    assert response.status_code == 500
    assert ("ConnectError" if framework.keyed else "Connection error") in response.json()["message"]
    assert key not in response.text + process.log.read_text()
    folder = restate.process.log.parent if restate.process else tmp_path
    for file in folder.rglob("*"):
        assert not (file.is_file() and key.encode() in file.read_bytes()), f"the key is in {file}"


SLOW = """
import time, restate
from shared.serving import serve
service = restate.Service("Slow")
@service.handler()
async def run(ctx: restate.Context) -> None:
    await ctx.run_typed("slow", work)
def work() -> None:
    print("at work", flush=True)
    time.sleep(60)
serve(service)
"""


async def test_it_ends_in_the_middle_of_a_step_that_is_a_plain_function(restate: Restate, tmp_path: Path) -> None:
    port, log = free_port(), tmp_path / "log"
    (tmp_path / "slow.py").write_text(SLOW)
    env = {"PORT": str(port), "PYTHONPATH": str(ROOT)}
    async with running("slow", [sys.executable, tmp_path / "slow.py"], log, env) as process:
        await process.until(f"http://127.0.0.1:{port}/health")
        async with httpx.AsyncClient(base_url=restate.admin, timeout=30) as client:
            await stack.register(client, f"http://127.0.0.1:{port}")
            id = (await client.post(f"{restate.ingress}/restate/send/Slow/run")).json()["invocationId"]
            await process.until(lambda: "at work" in log.read_text())
            process.child.terminate()
            assert await asyncio.wait_for(process.child.wait(), 10) == 0  # 2 s on a machine that does nothing else
            await client.patch(f"/invocations/{id}/kill")


async def test_the_weather_of_two_cities_in_parallel(restate: Restate, tmp_path: Path) -> None:
    process, url = await entrypoint(PYTHON[-1], "weather_agent.py", tmp_path / "log", KEYLESS)
    try:
        question = {"message": "What is the weather in San Francisco and New York?"}
        response = await call(restate, url, "ParallelToolAgent/run", question)
        assert response.status_code == 200
        assert "Foggy, 15" in response.json()
        assert "Sunny, 18" in response.json()
    finally:
        await process.stop()


async def test_a_taken_port_is_explained(tmp_path: Path) -> None:
    port = free_port()
    async with running(
        "one", [sys.executable, ROOT / "restate_loop/weather_agent.py"], tmp_path / "one", KEYLESS | {"PORT": str(port)}
    ) as one:
        await one.until(f"http://127.0.0.1:{port}/health")
        other = await asyncio.create_subprocess_exec(
            sys.executable,
            ROOT / "restate_loop/weather_agent.py",
            env={**os.environ, **KEYLESS, "PORT": str(port)},
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await asyncio.wait_for(other.communicate(), 30)
        assert other.returncode == 1
        assert f"Cannot listen on 127.0.0.1:{port}" in said.decode()
        assert "PORT=" in said.decode()
        assert "Traceback" not in said.decode()


async def test_a_service_that_is_not_registered(restate: Restate) -> None:
    async with httpx.AsyncClient(timeout=30) as client:
        response = await client.post(f"{restate.ingress}/restate/call/Nobody/run", json={})
    assert response.status_code == 404
    assert "service 'Nobody' not found" in response.json()["message"]


async def test_a_service_s_name_that_restate_reserves(restate: Restate, tmp_path: Path) -> None:
    process, url = await entrypoint(
        PYTHON[-1], "naive_parallel.py", tmp_path / "log", {"TOUR_SERVICE_PREFIX": "restate_loop"}
    )
    try:
        with pytest.raises(TourError, match=r"(?s)META0005.* reserved name.*TOUR_SERVICE_PREFIX"):
            await call(restate, url, "restate_loop.NaiveParallel/in_turn", None)
    finally:
        await process.stop()


async def test_the_naive_way_beside_the_one_in_turn(restate: Restate, tmp_path: Path) -> None:
    process, url = await entrypoint(PYTHON[-1], "naive_parallel.py", tmp_path / "log", {})
    try:
        response = await call(restate, url, "NaiveParallel/in_turn", None)
        assert (response.status_code, response.json()) == (200, ["a1a2", "b1b2"])
        async with httpx.AsyncClient(base_url=restate.admin, timeout=30) as client:
            sent = await client.post(f"{restate.ingress}/restate/send/NaiveParallel/naive")
            id = sent.json()["invocationId"]
            async with asyncio.timeout(30):
                while True:
                    failures = (await journal.read(client, id))[id].failures
                    if any("name: b2 != a2" in failure.message for failure in failures):
                        break
                    await asyncio.sleep(0.1)
            await client.patch(f"/invocations/{id}/kill")
    finally:
        await process.stop()
    created = [line for line in process.log.read_text().splitlines() if line.startswith("attempt ")]
    first, again = "attempt 1: {}", "attempt 2: {}"
    in_turn = [first.format(step) for step in ("a1", "b1", "b2", "a2")]
    assert created[:8] == in_turn + [again.format(step) for step in ("a1", "b1", "b2", "a2")]
    assert created[8:15] == in_turn + [again.format(step) for step in ("a1", "b1", "a2")]
