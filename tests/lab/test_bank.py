"""The bank's service: repeated requests change nothing, in whatever order they arrive."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from lab.bank import Bank, server


@pytest.fixture
def bank(tmp_path: Path) -> Iterator[httpx.Client]:
    serving = server(tmp_path / "funds.sqlite")
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{serving.server_port}/reservations/") as client:
        yield client
    serving.shutdown()
    thread.join()
    serving.server_close()


def test_money_is_reserved_once_and_released_once(bank: httpx.Client) -> None:
    for _ in range(2):
        assert bank.put("a", json={"amount": 10}).json() == "reserved"
    assert bank.put("b", json={"amount": 20}).json() == "reserved"
    for _ in range(2):
        assert bank.delete("a").json() == "released"
    assert bank.get("").json() == {"a": "released", "b": "reserved"}


def test_a_reservation_that_comes_after_its_release_is_refused(bank: httpx.Client) -> None:
    assert bank.delete("a").status_code == 200
    assert bank.put("a", json={"amount": 10}).status_code == 409
    assert bank.get("").json() == {"a": "released"}


def test_it_ends_with_who_started_it(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "lab.bank", "--until-eof", "--ledger", str(tmp_path / "funds.sqlite")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout
        assert service.stdin
        assert httpx.get(f"{service.stdout.readline().strip()}/reservations").json() == {}
        service.stdin.close()
        assert service.wait(10) == 0


def test_the_ledger_survives_its_server(tmp_path: Path) -> None:
    Bank(tmp_path / "funds.sqlite").reserve("a", 10)
    assert Bank(tmp_path / "funds.sqlite").all() == {"a": "reserved"}
