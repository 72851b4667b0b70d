"""The first start of a program may be a fork: nobody can tell, except from the time that it takes."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tour.runtime import processes
from tour.runtime.forking import first_starts
from tour.runtime.processes import spawn_process, start

pytestmark = [pytest.mark.long, pytest.mark.skipif(sys.platform != "linux", reason="forks are only for Linux")]

PROGRAM = """\
import os, sys, time
print(sys.argv[1:], os.environ["WORD"], __name__, sys.path[0], sys.stdin.read(), os.getpgid(0), flush=True)
time.sleep(60 if "sleep" in sys.argv else 0)
sys.exit(7)
"""


@pytest.fixture(autouse=True)
def no_other_forks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "spawn", spawn_process)


@pytest.fixture
def program(tmp_path: Path) -> Path:
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path / "program.py"


async def test_it_has_its_arguments_its_variables_and_its_exit_code(program: Path, tmp_path: Path) -> None:
    async with first_starts():
        process = await start("program", [sys.executable, program, "one"], tmp_path / "log", {"WORD": "up"})
        assert "tour.runtime.zygote" in psutil.Process(process.pid).cmdline()
        assert await process.child.wait() == 7
    assert process.log_tail() == f"['one'] up __main__ {tmp_path}  {process.pid}"


async def test_it_can_be_killed_and_then_starts_for_real(program: Path, tmp_path: Path) -> None:
    async with first_starts():
        process = await start("program", [sys.executable, program, "sleep"], tmp_path / "log", {"WORD": "up"})
        await process.until(lambda: "up" in process.log_tail())
        await process.kill()
        assert process.child.returncode == -signal.SIGKILL
        await process.restart()
        await process.until(lambda: process.log_tail().count("up") == 2)
        assert psutil.Process(process.pid).cmdline() == [sys.executable, str(program), "sleep"]
        await process.stop()
        assert process.child.returncode == -signal.SIGTERM


async def test_without_the_zygote_it_starts_for_real(program: Path, tmp_path: Path) -> None:
    async with first_starts():
        (zygote,) = (child for child in psutil.Process().children() if "tour.runtime.zygote" in child.cmdline())
        zygote.kill()
        process = await start("program", [sys.executable, program], tmp_path / "log", {"WORD": "up"})
        assert await process.child.wait() == 7


def test_it_ends_with_a_tour_that_is_killed(program: Path, tmp_path: Path) -> None:
    code = f"""\
import asyncio, sys
from pathlib import Path
from tour.runtime.forking import first_starts
from tour.runtime.processes import start
async def main():
    async with first_starts():
        process = await start("program", [sys.executable, {str(program)!r}, "sleep"], Path({str(tmp_path / "log")!r}))
        print(process.pid, flush=True)
        await asyncio.sleep(60)
asyncio.run(main())
"""
    env = {**os.environ, "WORD": "up"}
    tour = subprocess.Popen([sys.executable, "-c", code], env=env, stdout=subprocess.PIPE, text=True)
    assert tour.stdout
    left = [psutil.Process(int(tour.stdout.readline())), *psutil.Process(tour.pid).children()]
    tour.kill()
    tour.communicate()
    _, alive = psutil.wait_procs(left, timeout=10)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
