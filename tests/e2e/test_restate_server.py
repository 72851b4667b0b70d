"""The embedded server: real, on loopback only, and nothing is lost when it is killed."""

import sys
from pathlib import Path

import httpx
import psutil
import pytest

from tour import restate_server, stack
from tour.errors import TourError
from tour.frameworks import ROOT
from tour.processes import free_port, running
from tour.restate_server import Ports


async def test_it_listens_on_loopback_only(tmp_path: Path) -> None:
    async with restate_server.serving(tmp_path / "data", tmp_path / "log", ports=Ports.free()) as server:
        assert server.process
        connections = psutil.Process(server.process.pid).net_connections("inet")
        assert {c.laddr[0] for c in connections if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
    assert not psutil.pid_exists(server.process.pid)


async def test_a_killed_server_still_knows_what_it_knew(tmp_path: Path) -> None:
    ports, agent_port = Ports.free(), free_port()
    agent: list[str | Path] = [sys.executable, ROOT / "restate_loop/weather_agent.py"]
    question = {"message": "What is the weather in Paris?"}
    async with running("agent", agent, tmp_path / "agent", {"PORT": str(agent_port)}) as process:
        await process.until(f"http://127.0.0.1:{agent_port}/health")
        answers = []
        for attempt in range(2):
            async with (
                restate_server.serving(tmp_path / "data", tmp_path / "log", ports=ports) as server,
                httpx.AsyncClient(timeout=30) as client,
            ):
                if attempt == 0:
                    client.base_url = server.admin
                    await stack.register(client, f"http://127.0.0.1:{agent_port}")
                url = f"{server.ingress}/restate/call/ParallelToolAgent/run"
                answers.append(await client.post(url, json=question, headers={"idempotency-key": "once"}))
                assert server.process
                await server.process.kill()
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].headers["x-restate-id"] == answers[1].headers["x-restate-id"]


async def test_a_taken_port_names_its_holder(tmp_path: Path) -> None:
    ports = Ports.free()
    async with restate_server.serving(tmp_path / "one", tmp_path / "log", ports=ports):
        with pytest.raises(TourError) as error:
            async with restate_server.serving(tmp_path / "two", tmp_path / "log", ports=ports):
                pass
    assert f"port {ports.ingress}, which restate" in error.value.problem


async def test_an_unreachable_registry_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    with pytest.raises(TourError) as error:
        await restate_server.install(lambda line: None)
    assert "npm could not install" in error.value.problem
    assert "RESTATE_ADMIN_URL" in error.value.remedy
    assert list((tmp_path / "cache").iterdir()) == [], "nothing half-installed is left"
