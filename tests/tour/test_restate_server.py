"""The embedded server: real, on loopback only, and nothing is lost when it is killed."""

import asyncio
import shutil
import socket
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil
import pytest

from tour.runtime import restate_server, stack
from tour.runtime.errors import TourError
from tour.runtime.frameworks import ROOT
from tour.runtime.processes import free_port, running
from tour.runtime.restate_server import Ports


@pytest.mark.server
@pytest.mark.parametrize("env", [{}, {"RESTATE_BIND_ADDRESS": f"0.0.0.0:{free_port()}"}], ids=["plain", "exposed"])
async def test_it_listens_on_loopback_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, env: dict[str, str]
) -> None:
    (tmp_path / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "tmp"))
    for name, value in {**env, "TMPDIR": str(tmp_path / "tmp")}.items():
        monkeypatch.setenv(name, value)
    async with restate_server.serving(tmp_path / "data", tmp_path / "log", ports=Ports.free()) as server:
        assert server.process
        connections = psutil.Process(server.process.pid).net_connections("inet")
        assert {c.laddr[0] for c in connections if c.status == psutil.CONN_LISTEN} == {"127.0.0.1"}
        async with httpx.AsyncClient() as client:
            assert (await client.get(f"{server.admin}/health")).status_code == 200
            assert (await client.get(f"{server.ingress}/restate/health")).status_code == 200
        for _ in range(100):  # it makes folders once it leads its partitions
            if list((tmp_path / "tmp").rglob("invoker-*")):
                break
            await asyncio.sleep(0.05)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    assert server.process.child.returncode == 0, "it ended by itself, in order"
    assert not psutil.pid_exists(server.process.pid)
    assert not list((tmp_path / "tmp").iterdir()), "it leaves nothing among the temporary files"


@pytest.mark.server
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
                deployments = (await client.get(f"{server.admin}/deployments")).json()["deployments"]
                assert [deployment["uri"] for deployment in deployments] == [f"http://127.0.0.1:{agent_port}/"]
                url = f"{server.ingress}/restate/call/ParallelToolAgent/run"
                answers.append(await client.post(url, json=question, headers={"idempotency-key": "once"}))
                assert server.process
                await server.process.kill()
    assert [answer.status_code for answer in answers] == [200, 200]
    assert answers[0].headers["x-restate-id"] == answers[1].headers["x-restate-id"]


@pytest.mark.server
async def test_a_taken_port_names_its_holder(tmp_path: Path) -> None:
    ports = Ports.free()
    async with restate_server.serving(tmp_path / "one", tmp_path / "log", ports=ports):
        with pytest.raises(TourError) as error:
            async with restate_server.serving(tmp_path / "two", tmp_path / "log", ports=ports):
                pass
    assert f"port {ports.ingress}, which restate" in error.value.problem


@pytest.mark.server
async def test_a_data_folder_in_use_is_explained(tmp_path: Path) -> None:
    async with restate_server.serving(tmp_path / "data", tmp_path / "log", ports=Ports.free()):
        with pytest.raises(TourError, match="Another Restate server has its journals"):
            async with restate_server.serving(tmp_path / "data", tmp_path / "log2", ports=Ports.free()):
                pass
    async with restate_server.serving(tmp_path / "data", tmp_path / "log", ports=Ports.free()):
        pass


@pytest.mark.server
async def test_an_install_that_is_interrupted_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    others = psutil.Process().children(recursive=True)  # the stacks of other tests
    with socket.create_server(("127.0.0.1", 0)) as registry:  # it never answers
        registry.setblocking(False)
        monkeypatch.setenv("npm_config_registry", f"http://127.0.0.1:{registry.getsockname()[1]}/")
        installing = asyncio.create_task(restate_server.install(lambda line: None))
        connection, _ = await asyncio.get_running_loop().sock_accept(registry)
        with connection:
            npm = set(psutil.Process().children(recursive=True)) - set(others)
            began = time.monotonic()
            installing.cancel()
            await asyncio.wait({installing})
    assert time.monotonic() - began < 2
    assert npm
    _, alive = await asyncio.to_thread(psutil.wait_procs, list(npm), 5)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE], (
        "init reaps it in its own time"
    )
    assert list((tmp_path / "cache").iterdir()) == []


async def test_what_is_in_the_way_of_an_install_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUR_CACHE", str(tmp_path / "file"))
    (tmp_path / "file").touch()
    with pytest.raises(TourError, match="cannot be installed") as error:
        await restate_server.install(lambda line: None)
    assert "TOUR_CACHE" in error.value.remedy


async def test_a_machine_without_a_binary_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("platform.machine", lambda: "riscv64")
    with pytest.raises(TourError, match="no Restate server for linux-riscv64"):
        await restate_server.install(lambda line: None)


def test_a_server_on_the_path_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "restate-server"
    shutil.copy("/bin/true", own)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert restate_server.binary() == own


@pytest.mark.server
async def test_an_unreachable_registry_is_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TOUR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("npm_config_registry", "http://127.0.0.1:9/")
    monkeypatch.setenv("npm_config_cache", str(tmp_path / "npm"))
    with pytest.raises(TourError) as error:
        await restate_server.install(lambda line: None)
    assert "npm could not install" in error.value.problem
    assert "RESTATE_ADMIN_URL" in error.value.remedy
    assert list((tmp_path / "cache").iterdir()) == [], "nothing half-installed is left"
