"""Child processes end in order, and never outlive the tour."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tour.runtime.errors import TourError
from tour.runtime.processes import free_port, running, start, who_listens

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


async def test_a_stop_that_is_cancelled_kills(tmp_path: Path) -> None:
    process = await start("child", STUBBORN, tmp_path / "log")
    await process.until(lambda: "up" in process.log_tail())
    stopping = asyncio.create_task(process.stop(grace=60))
    await asyncio.sleep(0.05)
    stopping.cancel()
    await asyncio.wait({stopping})
    assert await asyncio.wait_for(process.child.wait(), 5) == -signal.SIGKILL


async def test_what_a_child_started_ends_with_it(tmp_path: Path) -> None:
    program = f"import subprocess; print(subprocess.Popen({SLEEP!r}).pid, flush=True); import time; time.sleep(60)"
    process = await start("child", [sys.executable, "-c", program], tmp_path / "log")
    await process.until(lambda: "up" in process.log_tail())
    grandchild = psutil.Process(int(process.log_tail().split()[0]))
    await process.stop()
    assert ended(grandchild)


@pytest.mark.long
async def test_a_child_that_ends_as_it_is_stopped_keeps_its_code(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for wait in range(60):
        process = await start("child", ["/bin/sh", "-c", "exit 0"], tmp_path / "log")
        await asyncio.sleep(wait % 15 * 0.0004)
        await process.stop()
        assert process.child.returncode in (0, -signal.SIGTERM)
    assert not caplog.records


async def test_a_reaped_child_is_never_signalled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    process = await start("child", ["/bin/sh", "-c", "exit 0"], tmp_path / "log")
    await process.child.wait()
    signalled: list[int] = []
    monkeypatch.setattr(os, "killpg", lambda pid, signum: signalled.append(pid))
    await process.stop()
    await process.kill()
    assert signalled == []


@pytest.mark.parametrize("turns", range(6))
async def test_a_start_that_is_cancelled_leaves_no_process(turns: int, tmp_path: Path) -> None:
    before = psutil.Process().children()
    starting = asyncio.create_task(start("child", SLEEP, tmp_path / "log"))
    for _ in range(turns):
        await asyncio.sleep(0)
    if starting.cancel():
        await asyncio.wait({starting})
        assert starting.cancelled()
    else:
        await starting.result().kill()
    assert psutil.Process().children() == before


async def test_a_command_that_is_not_there_is_explained(tmp_path: Path) -> None:
    with pytest.raises(TourError, match="The child cannot be started"):
        await start("The child", ["/does/not/exist"], tmp_path / "log")


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


async def test_a_child_that_is_not_ready_in_time_is_quoted(tmp_path: Path) -> None:
    async with running("The child", SLEEP, tmp_path / "log") as process:
        await process.until(lambda: "up" in process.log_tail())
        with pytest.raises(TourError, match="The child is not ready after") as error:
            await process.until(f"http://127.0.0.1:{free_port()}", timeout=0.1)
    assert "up" in error.value.problem
    assert str(process.log) in error.value.remedy


async def test_an_ended_child_is_not_ready_even_if_another_program_answers(tmp_path: Path) -> None:
    process = await start("The child", ["/bin/sh", "-c", "exit 3"], tmp_path / "log")
    await process.child.wait()
    with pytest.raises(TourError, match="ended with code 3"):
        await process.until(lambda: True)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux ends a child with its parent")
def test_a_child_ends_with_a_killed_parent(tmp_path: Path) -> None:
    program = (
        "import asyncio, sys\nfrom pathlib import Path\nfrom tour.runtime.processes import start\n"
        "async def main():\n"
        "    child = await start('child', [sys.executable, '-c', 'import time; time.sleep(60)'], Path(sys.argv[1]))\n"
        "    print(child.pid, flush=True)\n    await asyncio.sleep(60)\nasyncio.run(main())"
    )
    parent = subprocess.Popen([sys.executable, "-c", program, tmp_path / "log"], stdout=subprocess.PIPE)
    assert parent.stdout
    child = psutil.Process(int(parent.stdout.readline()))
    parent.kill()
    parent.communicate()
    assert ended(child)


def test_who_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        assert f"(pid {psutil.Process().pid})" in (who_listens(port) or "")
    assert who_listens(port) is None


def test_a_port_whose_connections_have_just_ended_is_free() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        client = socket.create_connection(("127.0.0.1", port))
        accepted, _ = listener.accept()
        accepted.close()  # the side that closes first keeps the port in TIME_WAIT
        client.close()
    assert who_listens(port) is None


async def test_the_token_of_a_restate_is_not_handed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RESTATE_AUTH_TOKEN", "secret")
    program = "import os; print(sorted(name for name, value in os.environ.items() if value == 'secret'))"
    async with running("it", [sys.executable, "-c", program], tmp_path / "log") as process:
        await process.child.wait()
        assert process.log_tail() == "[]"


def test_free_ports_differ() -> None:
    assert len({free_port() for _ in range(2000)}) == 2000


def test_free_ports_differ_between_processes() -> None:
    program = (
        "from tour.runtime.processes import free_port\nprint(*(free_port() for _ in range(1000)), flush=True)\ninput()"
    )
    command = [sys.executable, "-c", program]
    processes = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    given = [port for process in processes if process.stdout for port in process.stdout.readline().split()]
    for process in processes:
        process.communicate("\n")
    assert len(set(given)) == len(given) == 4000


def ended(process: psutil.Process) -> bool:
    """Whether the process ends within 5 s; a zombie counts as ended."""
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if process.status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.01)
    return False
