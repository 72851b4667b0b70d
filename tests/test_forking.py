"""A forked process is as good as a started one, and no process outlives the tests."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests import forking
from tour.runtime.frameworks import ROOT
from tour.runtime.processes import Process, start

pytestmark = pytest.mark.skipif(not forking.possible(), reason="this machine, or REAL_STARTS, starts for good")

PROGRAM = """\
import os, sys, time
import {package}
print(*sys.argv[1:], os.environ["WORD"], __name__, sys.path[0], flush=True)
print("hash", hash("seed"), "pid", os.getpid(), "group", os.getpgid(0), file=sys.stderr, flush=True)
if "raise" in sys.argv:
    raise ValueError("no such luck")
if "sleep" in sys.argv:
    time.sleep(60)
print("buffered")
sys.exit(7)
"""


async def started(folder: Path, *arguments: str, package: str = "rich") -> Process:
    program = folder / "program.py"
    program.write_text(PROGRAM.format(package=package))
    process = await start("The program", [sys.executable, program, *arguments], folder / "log", {"WORD": "up"})
    assert isinstance(process.child, forking.Forked)
    return process


async def test_it_has_its_arguments_its_variables_and_its_exit_code(tmp_path: Path) -> None:
    process = await started(tmp_path, "one", "two")
    assert await process.child.wait() == 7
    said = process.log_tail().splitlines()
    assert said[0] == f"one two up __main__ {tmp_path}"
    assert said[1].endswith(f"pid {process.pid} group {process.pid}")
    assert said[2:] == ["buffered"]


async def test_an_error_is_a_traceback_and_code_1(tmp_path: Path) -> None:
    process = await started(tmp_path, "raise")
    assert await process.child.wait() == 1
    assert process.log_tail().endswith("ValueError: no such luck")


async def test_a_package_that_is_not_there_is_missing_in_the_program(tmp_path: Path) -> None:
    process = await started(tmp_path, package="no_such_package")
    assert await process.child.wait() == 1
    assert "No module named 'no_such_package'" in process.log_tail()


async def test_it_is_killed_and_started_again_with_another_hash_seed(tmp_path: Path) -> None:
    process = await started(tmp_path, "sleep")
    await process.until(lambda: "hash" in process.log_tail())
    first = psutil.Process(process.pid)
    await process.kill()
    assert process.child.returncode == -signal.SIGKILL
    assert not first.is_running()
    await process.restart()
    await process.until(lambda: process.log_tail().count("hash") == 2)
    hashes = {line.split()[1] for line in process.log_tail().splitlines() if line.startswith("hash")}
    assert len(hashes) == 2
    await process.stop()
    assert process.child.returncode == -signal.SIGTERM


@pytest.mark.long
def test_nothing_outlives_a_pytest_that_is_killed(tmp_path: Path) -> None:
    case = tmp_path / "test_case.py"
    case.write_text(
        "import asyncio\nfrom tests.test_forking import started\n"
        "async def test_case(tmp_path):\n"
        "    process = await started(tmp_path, 'sleep')\n"
        f"    open({str(tmp_path / 'pids')!r}, 'w').write(f'{{process.pid}} {{process.pid}}\\n')\n"
        "    await asyncio.sleep(60)\n"
    )
    env = {name: value for name, value in os.environ.items() if not name.startswith(("PYTEST", "TOUR_TESTS"))}
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "pytest",
        "-n1",
        "-c",
        ROOT / "pyproject.toml",
        "-p",
        "tests.conftest",
        case,
    ]
    run = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, process_group=0)
    try:
        while not (tmp_path / "pids").exists() or not (tmp_path / "pids").read_text().endswith("\n"):
            assert run.poll() is None
            time.sleep(0.02)
        child = psutil.Process(int((tmp_path / "pids").read_text().split()[0]))
        zygote = child.parent()
        assert zygote
        assert zygote.parent() not in psutil.Process(run.pid).children(recursive=True), "it outlives a worker"
    finally:
        run.kill()
        run.wait()
    _, alive = psutil.wait_procs([child, zygote], timeout=10)
    assert [process for process in alive if process.status() != psutil.STATUS_ZOMBIE] == []
