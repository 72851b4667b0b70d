"""The lab: when off, it does nothing; when on, it injects the planned faults, and remembers them through a kill -9."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from restate import TerminalError

from lab.ledger import Fault, Kind, Lab
from lab.observed import InjectedFailure, observed


async def work() -> str:
    return "done"


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "lab.sqlite"
    monkeypatch.setenv("TOUR_LAB", str(path))
    monkeypatch.setenv("TOUR_SERVICE_PREFIX", "one")
    return path


def told(path: Path) -> list[tuple[str, str]]:
    return [(entry.event, entry.detail) for entry in Lab(path).ledger()]


def test_off_it_is_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TOUR_LAB", raising=False)
    assert observed("step")(work) is work


async def test_the_ledger_tells_start_and_end(path: Path) -> None:
    assert await observed("step")(work)() == "done"
    assert told(path) == [("start", ""), ("end", "ok")]


async def test_a_failure_as_often_as_planned(path: Path) -> None:
    Lab(path).plan(Fault("step", "fail", times=2))
    watched = observed("step")(work)
    for _ in range(2):
        with pytest.raises(InjectedFailure):
            await watched()
    assert await watched() == "done"
    assert told(path).count(("injected", "fail")) == 2


async def test_a_terminal_error_has_its_status(path: Path) -> None:
    Lab(path).plan(Fault("step", "terminal", 418))
    with pytest.raises(TerminalError) as ended:
        await observed("step")(work)()
    assert ended.value.status_code == 418
    assert told(path)[-1] == ("end", "terminal")


async def test_a_fault_meant_for_others_is_left_alone(path: Path) -> None:
    Lab(path).plan(
        Fault("other", "fail"), Fault("step", "fail", framework="two"), Fault("step", "fail", about="claim 7")
    )
    assert await observed("step")(work)() == "done"


def test_a_models_fault_may_be_for_one_turn(path: Path) -> None:
    ledger = Lab(path)
    ledger.plan(Fault("model", "status", 429, turn=1))
    assert ledger.take("one", "prompt", "model", "", ["status"], turn=0) == []
    assert [fault.value for fault in ledger.take("one", "prompt", "model", "", ["status"], turn=1)] == [429]


def test_a_models_fault_is_for_each_framework_that_sends_the_prompt(path: Path) -> None:
    ledger = Lab(path)
    ledger.plan(Fault("model", "cut"))
    for framework in ("one", "two"):
        assert [fault.kind for fault in ledger.take(framework, "prompt", "model", "", ["cut"])] == ["cut"]
        assert ledger.take(framework, "prompt", "model", "", ["cut"]) == []


@pytest.mark.long
@pytest.mark.parametrize(("kind", "ended"), [("crash-before", 0), ("crash-after", 0)])
def test_a_crash_is_real_and_comes_once(path: Path, kind: Kind, ended: int) -> None:
    Lab(path).plan(Fault("step", kind))
    program = (
        "import asyncio\nfrom lab.observed import observed\n"
        "async def work() -> str: return 'done'\nprint(asyncio.run(observed('step')(work)()))"
    )
    first = subprocess.run([sys.executable, "-c", program], env=os.environ, capture_output=True, check=False)
    assert first.returncode == -signal.SIGKILL
    assert sum(event == "end" for event, _ in told(path)) == ended
    second = subprocess.run([sys.executable, "-c", program], env=os.environ, capture_output=True, check=True)
    assert second.stdout == b"done\n"
    assert told(path).count(("injected", kind)) == 1


def test_processes_that_write_at_once_lose_nothing(path: Path) -> None:
    program = (
        "import os\nfrom lab.ledger import Lab\nlab = Lab(os.environ['TOUR_LAB'])\n"
        "for n in range(100): lab.record('one', str(n), 'step', 'start')"
    )
    writers = [subprocess.Popen([sys.executable, "-c", program], env=os.environ) for _ in range(3)]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    assert len(Lab(path).ledger()) == 300
