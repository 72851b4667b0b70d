"""Each entrypoint in TypeScript alone, as in its README: plain service name, no key, one port."""

import asyncio
import os
import re
import shutil
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from lab.bank import Bank
from shared.claims import sample_claims
from shared.specialists import Report
from tour.runtime import restate_server, stack
from tour.runtime.approvals import decide
from tour.runtime.frameworks import ROOT, TYPESCRIPT, Framework
from tour.runtime.node import NODE, install
from tour.runtime.processes import Process, free_port, running
from tour.runtime.restate_server import Ports, Restate

pytestmark = [
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.server,
]

KEYLESS = dict.fromkeys(("OPENAI_API_KEY", "OPENAI_BASE_URL"), "")
CLAIM = sample_claims()["broken-leg"].model_dump(mode="json")
each_framework = pytest.mark.parametrize(
    "framework",
    [pytest.param(framework, id=framework.name, marks=pytest.mark.in_turn(2)) for framework in TYPESCRIPT],
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def restate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Restate]:
    folder = tmp_path_factory.mktemp("restate")
    await install(print)
    async with restate_server.serving(folder / "data", folder / "log", ports=Ports.free()) as server:
        yield server


@asynccontextmanager
async def entrypoint(
    restate: Restate, framework: Framework, script: str, log: Path, env: dict[str, str]
) -> AsyncIterator[Process]:
    """A registered entrypoint, on a free port."""
    port = free_port()
    async with running(framework.name, [NODE, framework.home / script], log, env | {"PORT": str(port)}) as it:
        await it.until(f"http://127.0.0.1:{port}/health", http2=True)
        async with httpx.AsyncClient(base_url=restate.admin, timeout=30) as admin:
            await stack.register(admin, f"http://127.0.0.1:{port}")
        yield it


async def call(restate: Restate, path: str, body: object) -> httpx.Response:
    async with httpx.AsyncClient(timeout=60) as client:
        return await client.post(f"{restate.ingress}/restate/call/{path}", json=body)


@each_framework
async def test_alone_without_a_key(restate: Restate, framework: Framework, tmp_path: Path) -> None:
    async with entrypoint(restate, framework, "parallel_tools_agent.ts", tmp_path / "log", KEYLESS) as process:
        response = await call(restate, "ParallelToolClaimAgent/run", CLAIM)
        assert response.status_code == 200, process.log_tail()
        assert response.json().startswith("Approved:")
        assert process.log.read_text().count("using the offline model") == 1
        url = re.search(r"offline model on (http://\S+)", process.log.read_text())
        assert url
        began = time.monotonic()
        process.child.terminate()
        await process.child.wait()
        assert time.monotonic() - began < 5  # 2 s on a machine that does nothing else
        assert process.child.returncode == 0
    async with asyncio.timeout(5):  # the model ends with the agent
        while True:
            if not await answers(f"{url[1]}/health"):
                break
            await asyncio.sleep(0.1)


async def answers(url: str) -> bool:
    async with httpx.AsyncClient() as client:
        try:
            return (await client.get(url)).is_success
        except httpx.HTTPError:
            return False


@each_framework
async def test_with_a_key_and_no_model_the_error_names_the_cause_and_not_the_key(
    restate: Restate, framework: Framework, tmp_path: Path
) -> None:
    key = "sk-secret-of-the-tour"
    env = {"OPENAI_API_KEY": key, "OPENAI_BASE_URL": f"http://127.0.0.1:{free_port()}/v1"}
    async with entrypoint(restate, framework, "parallel_tools_agent.ts", tmp_path / "log", env) as process:
        response = await call(restate, "ParallelToolClaimAgent/run", CLAIM)
    assert response.status_code == 500
    assert "Cannot connect to API" in response.json()["message"]
    assert key not in response.text + process.log.read_text()
    assert restate.process
    for file in restate.process.log.parent.rglob("*"):
        assert not (file.is_file() and key.encode() in file.read_bytes()), f"the key is in {file}"


@each_framework
async def test_three_tools_in_one_turn(restate: Restate, framework: Framework, tmp_path: Path) -> None:
    async with entrypoint(restate, framework, "parallel_tool_calls_agent.ts", tmp_path / "log", KEYLESS):
        response = await call(restate, "ParallelToolCallsClaimAgent/run", CLAIM)
    assert response.json().startswith("Approved:")


@each_framework
async def test_three_specialists_and_one_as_a_service(restate: Restate, framework: Framework, tmp_path: Path) -> None:
    assignment = {"specialty": "fraud", "claim": CLAIM, "budget": {"calls": 2, "tokens": 5_000}}
    async with entrypoint(restate, framework, "specialist_agents_agent.ts", tmp_path / "log", KEYLESS):
        claim = await call(restate, "SpecialistAgentsClaimAgent/run", CLAIM)
        asked = await call(restate, "ClaimSpecialists/report", assignment)
        over = await call(restate, "ClaimSpecialists/report", assignment | {"budget": {"calls": 1, "tokens": 5_000}})
        bad = await call(restate, "ClaimSpecialists/report", assignment | {"specialty": "law", "budget": {"calls": 2}})
    assert claim.json().startswith("Approved:")
    report = Report.model_validate(asked.json())
    assert report.text == "low risk: no signals (score 0)"
    assert (report.spent.calls, report.spent.calls_made) == (2, 2)
    assert 0 < report.spent.tokens_used < 5_000
    assert over.status_code == 402
    assert over.json()["message"].startswith("the budget is spent: 1 of 1 model calls, ")
    assert bad.status_code == 400
    assert "specialty: " in bad.json()["message"]
    assert "budget.tokens: " in bad.json()["message"]


@each_framework
async def test_a_person_decides_and_the_bank_is_beside(restate: Restate, framework: Framework, tmp_path: Path) -> None:
    ledger = tmp_path / "funds.sqlite"
    env = KEYLESS | {"FUNDS_URL": "", "FUNDS_LEDGER": str(ledger)}
    async with (
        entrypoint(restate, framework, "approval_agent.ts", tmp_path / "log", env),
        httpx.AsyncClient(base_url=restate.ingress, timeout=60) as ingress,
    ):
        claim = CLAIM | {"category": "cardiology", "amount": 12_000}
        id = (await ingress.post("/restate/send/ApprovalClaimAgent/run", json=claim)).json()["invocationId"]
        decision: dict[str, object] = {"approved": True, "reason": "invoice seen"}
        async with asyncio.timeout(30):
            while True:
                if (await decide(ingress, "ClaimApproval", id, decision)).is_success:
                    break
                await asyncio.sleep(0.1)
        answer = await ingress.get(f"/restate/invocation/{id}/attach")
    assert "approved by a person: invoice seen" in answer.json()
    assert Bank(ledger).all() == {id: "reserved"}


@each_framework
async def test_the_weather_of_two_cities_in_parallel(restate: Restate, framework: Framework, tmp_path: Path) -> None:
    async with entrypoint(restate, framework, "weather_agent.ts", tmp_path / "log", KEYLESS):
        question = {"message": "What is the weather in San Francisco and New York?"}
        response = await call(restate, "ParallelToolAgent/run", question)
    assert "Foggy, 15" in response.json()
    assert "Sunny, 18" in response.json()


@each_framework
@pytest.mark.skipif(not shutil.which("curl"), reason="there is no curl")
async def test_the_readme_s_commands(restate: Restate, framework: Framework, tmp_path: Path) -> None:
    """Each `node` command of the README, and the `curl` after it; Restate has another port here."""
    readme = (framework.home / "README.md").read_text()
    commands = re.findall(r"^(?:uv run node|PORT=9180 uv run node) (\S+)|^(curl .*)$", readme, re.MULTILINE)
    assert len(commands) == 4
    for (script, _), (_, curl) in zip(commands[::2], commands[1::2], strict=True):
        assert script.startswith(f"{framework.home.relative_to(ROOT)}/")
        async with entrypoint(restate, framework, Path(script).name, tmp_path / "log", KEYLESS):
            line = curl.replace("localhost:8080", restate.ingress.removeprefix("http://"))
            said = await asyncio.create_subprocess_shell(f"{line} --silent --fail", stdout=asyncio.subprocess.PIPE)
            answer, _ = await said.communicate()
        assert said.returncode == 0
        assert b"Approved:" in answer or b"Foggy, 15" in answer


async def test_a_taken_port_is_explained(restate: Restate, tmp_path: Path) -> None:
    async with entrypoint(restate, TYPESCRIPT[1], "weather_agent.ts", tmp_path / "one", KEYLESS) as one:
        _, _, port = one.log.read_text().strip().rpartition(":")
        other = await asyncio.create_subprocess_exec(
            *(NODE, TYPESCRIPT[1].home / "weather_agent.ts"),
            env={**os.environ, **KEYLESS, "PORT": port},
            stderr=asyncio.subprocess.PIPE,
        )
        _, said = await asyncio.wait_for(other.communicate(), 30)
    assert other.returncode == 1
    assert f"Cannot listen on 127.0.0.1:{port}" in said.decode()
    assert "PORT=" in said.decode()
    assert "    at " not in said.decode(), "no stack of calls"
