"""A Restate that the environment names: behind a gateway with a token, or one that reaches us by another name."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import httpx
import pytest
import pytest_asyncio

from lab.ledger import Fault, Lab
from shared.claims import sample_claims
from tests.reverse_proxy import in_front_of
from tests.tour.test_tour import tour
from tour.new import project
from tour.runtime import journal, processes, restate_server, stack
from tour.runtime.errors import TourError
from tour.runtime.frameworks import BY_NAME, ROOT
from tour.runtime.processes import Child, free_port, running, spawn_process
from tour.runtime.restate_server import Ports, Restate

pytestmark = [pytest.mark.asyncio(loop_scope="module"), pytest.mark.server]

LOOP = BY_NAME["restate_loop"]
TOKEN = "token-of-the-tour"
ONE = ("--only", "restate_loop", "--step-latency", "0", "--model-latency", "0")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def restate(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Restate]:
    folder = tmp_path_factory.mktemp("restate")
    async with restate_server.serving(folder / "data", folder / "log", ports=Ports.free()) as server:
        yield server


async def said_by(*arguments: str, home: Path, env: dict[str, str]) -> tuple[int | None, str]:
    process = await tour(*arguments, home=home, env=env)
    said, _ = await process.communicate()
    return process.returncode, said.decode()


@asynccontextmanager
async def gateways(restate: Restate) -> AsyncIterator[tuple[dict[str, str], list[tuple[str, str, int]]]]:
    """Gateways that require a token: the variables that name them, and their answers so far."""
    async with in_front_of(restate.ingress, TOKEN) as ingress, in_front_of(restate.admin, TOKEN) as admin:
        ingress.answered = admin.answered
        yield {"RESTATE_INGRESS_URL": ingress.url, "RESTATE_ADMIN_URL": admin.url + "/"}, admin.answered


async def test_a_token_opens_the_gateway(restate: Restate, tmp_path: Path) -> None:
    async with gateways(restate) as (names, answered):
        code, said = await said_by(*ONE, home=tmp_path, env=names | {"RESTATE_AUTH_TOKEN": f"{TOKEN}\r"})
    assert code == 0, said
    assert "a loop of our own: Approved:" in said
    assert {"/restate/health", "/health", "/deployments", "/query"} <= {path for _, path, _ in answered}
    assert any("/restate/send/" in path for _, path, _ in answered)
    assert all(status < 300 for *_, status in answered), answered
    assert TOKEN not in said
    assert restate.process
    for file in (*tmp_path.rglob("*"), *restate.process.log.parent.rglob("*")):
        assert not (file.is_file() and TOKEN.encode() in file.read_bytes()), file


@pytest.mark.parametrize(
    ("token", "remedy"),
    [
        ({}, "Set RESTATE_AUTH_TOKEN to"),
        ({"RESTATE_AUTH_TOKEN": "another"}, "rejects the token in RESTATE_AUTH_TOKEN"),
    ],
    ids=["none", "another"],
)
@pytest.mark.parametrize(
    "arguments", [ONE, ("up", *ONE), ("register", "http://127.0.0.1:9")], ids=lambda given: given[0]
)
async def test_without_the_token_two_lines_say_so(
    restate: Restate, tmp_path: Path, arguments: tuple[str, ...], token: dict[str, str], remedy: str
) -> None:
    async with gateways(restate) as (names, _):
        code, said = await said_by(*arguments, home=tmp_path, env=names | token)
    assert code == 1
    *_, problem, last = said.splitlines()
    assert problem.startswith("Error: Restate refuses us on http://127.0.0.1:")
    assert problem.endswith(": 401 Unauthorized")
    assert remedy in last
    assert "another" not in said


async def test_a_refusal_while_the_model_starts_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def spawn(command: Sequence[str | Path], log: Path, env: Mapping[str, str]) -> Child:
        if "offline_model" in command:
            await asyncio.sleep(1)  # Restate has refused by then
        return await spawn_process(["sleep", "60"], log, env)

    monkeypatch.setattr(processes, "spawn", spawn)
    monkeypatch.setenv("RESTATE_ADMIN_URL", f"http://127.0.0.1:{free_port()}")
    with pytest.raises(TourError, match="Restate does not answer"):
        async with stack.running(tmp_path, frameworks=[LOOP]):
            pass


async def test_the_image_s_registration_has_the_token(restate: Restate) -> None:
    command = (sys.executable, "-m", "deploy.register", f"http://127.0.0.1:{free_port()}")
    async with gateways(restate) as (names, answered):
        env = {**os.environ, **names, "RESTATE_AUTH_TOKEN": TOKEN}
        process = await asyncio.create_subprocess_exec(*command, env=env, cwd=ROOT, stderr=asyncio.subprocess.PIPE)
        _, said = await process.communicate()
    assert b"META0003" in said
    assert [path for _, path, _ in answered] == ["/deployments"]


async def test_an_agent_of_one_s_own_is_tried_there(restate: Restate, tmp_path: Path) -> None:
    names = {"RESTATE_INGRESS_URL": restate.ingress, "RESTATE_ADMIN_URL": restate.admin}
    agent = str(LOOP.script(project.AGENT))
    code, said = await said_by("try", agent, "Book a weekend in Lisbon.", home=tmp_path, env=names)
    assert code == 0, said
    assert "car in Lisbon: reserved" in said
    async with restate.admin_client() as admin:
        rows = await journal.query(admin, "SELECT status FROM sys_invocation WHERE target_service_name = 'MyAgent'")
    assert [row["status"] for row in rows] == ["completed"]


async def test_restate_reaches_the_agents_by_another_name(restate: Restate, tmp_path: Path) -> None:
    names = {"RESTATE_INGRESS_URL": restate.ingress, "RESTATE_ADMIN_URL": restate.admin}
    code, said = await said_by(*ONE, home=tmp_path, env=names | {"TOUR_AGENT_HOST": "127.0.0.2", "HOST": "127.0.0.2"})
    assert code == 0, said
    async with restate.admin_client() as admin:
        uris = [each["uri"] for each in (await admin.get("/deployments")).json()["deployments"]]
    assert [uri for uri in uris if uri.startswith("http://127.0.0.2:")]
    code, said = await said_by(*ONE, home=tmp_path, env=names | {"TOUR_AGENT_HOST": "127.0.0.2"})
    assert code == 1, "the agents listen on 127.0.0.1 alone"
    assert "set TOUR_AGENT_HOST" in said


async def test_an_agent_behind_a_proxy_that_has_no_http_2(restate: Restate, tmp_path: Path) -> None:
    port, lab = free_port(), Lab(tmp_path / "lab")
    lab.plan(Fault("fraud", "fail", times=1))
    env = {"PORT": str(port), "TOUR_LAB": str(tmp_path / "lab"), "OPENAI_API_KEY": "", "OPENAI_BASE_URL": ""}
    here = {"RESTATE_ADMIN_URL": restate.admin}
    async with (
        running("agent", [sys.executable, LOOP.entrypoint], tmp_path / "log", env) as agent,
        in_front_of(f"http://127.0.0.1:{port}") as proxy,
        httpx.AsyncClient(base_url=restate.ingress, timeout=60) as ingress,
    ):
        await agent.until(f"http://127.0.0.1:{port}/health")
        code, said = await said_by("register", proxy.url, home=tmp_path, env=here)
        assert code == 1
        assert "META0014" in said
        assert "--http1" in said
        code, said = await said_by("register", proxy.url, "--http1", home=tmp_path, env=here)
        assert code == 0, said
        path = f"/restate/call/{LOOP.path(alone=True)}"
        answer = await ingress.post(path, json=LOOP.body(sample_claims()["broken-leg"]))
    assert answer.json().startswith("Approved:"), answer.text
    calls = [path for _, path, status in proxy.answered if path.startswith("/invoke/") and status == 200]
    assert len(calls) > 3, "a request for each part of the invocation"
    ran = [entry.step for entry in lab.ledger(invocations=[answer.headers["x-restate-id"]]) if entry.event == "start"]
    assert (ran.count("eligibility"), ran.count("cost"), ran.count("fraud")) == (1, 1, 2)
    lab.close()
