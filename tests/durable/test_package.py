"""`durable` as a separate package: the wheel, installed into an empty environment outside this repository."""

import asyncio
import re
import shutil
import sys
from asyncio.subprocess import PIPE, STDOUT
from pathlib import Path

import httpx
import pytest

from tour.runtime import restate_server, stack
from tour.runtime.frameworks import ROOT
from tour.runtime.processes import free_port, running
from tour.runtime.restate_server import Ports

ITS_OWN = ("test_attempts.py", "test_steps.py", "test_turnstile.py")
"""The tests that need only the package."""


async def succeeds(*command: str | Path, cwd: Path = ROOT) -> None:
    process = await asyncio.create_subprocess_exec(*command, cwd=cwd, stdout=PIPE, stderr=STDOUT)
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()


@pytest.mark.server
@pytest.mark.real_starts
async def test_the_wheel_alone(tmp_path: Path) -> None:
    dist, outside = tmp_path / "dist", tmp_path / "outside"
    await succeeds("uv", "build", "--package", "restate-durable-agents", "--out-dir", dist)
    [wheel], [source] = dist.glob("*.whl"), dist.glob("*.tar.gz")
    await succeeds(sys.executable, "-m", "twine", "check", "--strict", wheel, source)

    python = tmp_path / "env" / "bin" / "python"
    await succeeds("uv", "venv", tmp_path / "env", "--python", sys.executable)
    await succeeds("uv", "pip", "install", "--python", python, wheel, "hypercorn", "pytest", "pytest-asyncio")
    outside.mkdir()
    for name in ITS_OWN:
        shutil.copy(ROOT / "tests" / "durable" / name, outside)
    await succeeds(python, "-m", "pytest", "-o", "asyncio_mode=auto", ".", cwd=outside)

    url = f"http://127.0.0.1:{(port := free_port())}"
    async with (
        restate_server.serving(tmp_path / "data", tmp_path / "restate.log", ports=Ports.free()) as restate,
        running("the example", [python, "-m", "durable.example"], outside / "log", {"PORT": str(port)}) as example,
        httpx.AsyncClient(base_url=restate.admin, timeout=60) as admin,
    ):
        await example.until(f"{url}/health")
        await stack.register(admin, url)
        booked = await admin.post(f"{restate.ingress}/restate/call/Trip/book")
    assert booked.json() == ["flight: reserved", "hotel: reserved", "car: reserved"]
    started = re.findall(r"reserving the (\w+)", (outside / "log").read_text())
    assert sorted(started) == ["car"] * 3 + ["flight", "hotel"]
