"""Claims that wait for a person survive a kill and restart of `tour web`, and can then be decided."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from lab.bank import Bank
from tests.docs.namespace import Namespace, open_namespace

pytestmark = pytest.mark.server

FIRST = """
    from shared.claims import sample_claims
    from tour.runtime.approvals import waiting
    await running.add(APPROVAL)
    claim = sample_claims()["round-emergency"]
    ids = [await running.submit(framework, claim, "", "", pattern=APPROVAL) for framework in running.frameworks]
    while len(await waiting(running.admin)) < len(ids):
        await asyncio.sleep(0.1)
    print("waiting:", *ids, flush=True)
    await asyncio.Event().wait()
"""

AGAIN = """
    from tour.runtime.approvals import approving_all
    async with approving_all(running.admin, running.ingress, "a comparison, which approves its own claims alone"):
        await running.resume()
        await asyncio.sleep(1)
    print("ready", flush=True)
    await asyncio.Event().wait()
"""


@pytest.fixture
def network() -> Iterator[Namespace]:
    """A network in which the usual ports are free, because only a stack on those keeps its journals."""
    namespace = open_namespace()
    if not namespace:
        pytest.skip("this system makes no network namespace for its users")
    yield namespace
    namespace.close()


def started(network: Namespace, home: Path, what: str) -> subprocess.Popen[str]:
    """A process that runs this code on the stack of the tour's commands."""
    program = (
        "import asyncio\nfrom rich.console import Console\nfrom tour.boot import booted\n"
        "from tour.runtime.frameworks import APPROVAL, BY_NAME\nasync def main():\n"
        f"  async with booted([BY_NAME['restate_loop']], 0, 0, Console(stderr=True)) as running:{what}\n"
        "asyncio.run(main())"
    )
    return subprocess.Popen(
        network.inside(sys.executable, "-c", program),
        env={**os.environ, "TOUR_HOME": str(home)},
        stdout=subprocess.PIPE,
        text=True,
    )


def line(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout
    return process.stdout.readline().split()


def asked(network: Namespace, address: str, *options: str) -> Any:
    command = network.inside("curl", "--silent", "--show-error", "--max-time", "60", address, *options)
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


def test_a_page_that_is_killed_loses_no_claim_that_waits(network: Namespace, tmp_path: Path) -> None:
    with started(network, tmp_path, FIRST) as first:
        said, id = line(first)
        first.kill()
    assert said == "waiting:"
    with started(network, tmp_path, AGAIN) as page:
        try:
            assert line(page) == ["ready"]
            decide = f"http://127.0.0.1:8080/restate/call/own_loop.ClaimApproval/{id}/decide"
            assert (
                asked(network, decide, "--json", '{"approved": true, "reason": "seen"}') == "approved by a person: seen"
            )
            answer = asked(network, f"http://127.0.0.1:8080/restate/invocation/{id}/attach")
        finally:
            page.terminate()
    assert answer.startswith("Approved:")
    assert "approved by a person: seen" in answer
    assert Bank(tmp_path / "funds.sqlite").all() == {id: "reserved"}
