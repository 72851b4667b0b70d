"""Child processes end in order, and never outlive the tour."""

import socket
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tour.errors import TourError
from tour.processes import free_port, running, start, who_listens

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)",
]


@pytest.mark.parametrize(("command", "code"), [(SLEEP, -15), (STUBBORN, -9)])
async def test_stop_asks_first(command: list[str | Path], code: int, tmp_path: Path) -> None:
    process = await start("child", command, tmp_path / "log")
    await process.until(lambda: "up" in process.log_tail())
    await process.stop(grace=0.3)
    assert process.child.returncode == code
    await process.stop()  # and once more does no harm


async def test_nothing_is_left_when_the_block_fails(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        async with running("child", SLEEP, tmp_path / "log") as process:
            raise ZeroDivisionError
    assert not psutil.pid_exists(process.pid)


async def test_a_child_that_ends_early_is_quoted(tmp_path: Path) -> None:
    process = await start("The child", [sys.executable, "-c", "raise SystemExit('no such luck')"], tmp_path / "log")
    with pytest.raises(TourError) as error:
        await process.until(f"http://127.0.0.1:{free_port()}")
    assert "The child ended with code 1" in error.value.problem
    assert "no such luck" in error.value.problem


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_child_ends_with_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom tour.processes import start\n"
        "async def main():\n"
        "    child = await start('child', [sys.executable, '-c', 'import time; time.sleep(60)'], Path(sys.argv[1]))\n"
        "    print(child.pid, flush=True)\n    await asyncio.sleep(60)\nasyncio.run(main())"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, tmp_path / "log"], stdout=subprocess.PIPE)
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    _, alive = psutil.wait_procs([child], timeout=5)
    assert not [process for process in alive if process.status() != psutil.STATUS_ZOMBIE]


def test_who_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert f"(pid {psutil.Process().pid})" in (who_listens(port) or "")
    assert who_listens(port) is None
