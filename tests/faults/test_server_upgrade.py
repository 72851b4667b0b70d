"""The next minor version replaces the Restate server, on the same data, while claims are open."""

import json
import time
from pathlib import Path

import httpx
import pytest

from shared.claims import InsuranceClaim
from tests.conformance.approvals import say, until_waiting
from tests.conformance.cases import tagged
from tests.faults.claims import LANGUAGES, assert_journal, figure, half_done, judged, submit
from tour.runtime import journal, restate_server, stack
from tour.runtime.evidence import Runs
from tour.runtime.frameworks import APPROVAL, FAN_OUT, Framework, Pattern
from tour.runtime.restate_server import SERVER, Program
from tour.runtime.stack import CHECKS, Stack

pytestmark = [pytest.mark.server, pytest.mark.nightly]


class OneBinary(Program):
    """A program whose package.json pins only the binary of one platform."""

    @property
    def version(self) -> str:
        (pinned,) = json.loads((self.folder / "package.json").read_text())["dependencies"].values()
        return str(pinned)


OLDER = OneBinary("restate-server", "older Restate server", "80 MB", Path(__file__).parent / "older_server")


async def test_claims_in_flight_finish_on_the_next_minor_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if restate_server._target() != "linux-x64":
        pytest.skip("the lock of the older server has the binary of Linux on x64 alone")
    newer = restate_server.binary() or await restate_server.install(print)
    older = OLDER.installed() or await restate_server.install(print, OLDER)
    monkeypatch.setattr(restate_server, "binary", lambda: older)
    async with stack.running(tmp_path, frameworks=LANGUAGES, agent_env={"MODEL_TIMEOUT": "3"}) as running:
        await running.add(APPROVAL)
        server = running.restate.process
        assert server
        assert await version(running.admin) == OLDER.version
        decided, waiting, in_flight = {}, {}, {}
        for framework in LANGUAGES:
            claim = tagged()
            id = await send(running, framework, claim)
            decided[id] = (framework, claim, await running.answer(id))
            claim = tagged("round-emergency")
            waiting[await send(running, framework, claim, APPROVAL)] = framework
            claim = tagged()
            in_flight[await half_done(running, framework, claim, send=send)] = (framework, claim)
        for id in waiting:
            await until_waiting(running, id)

        since = time.time()
        await server.stop()
        server.command = [newer, *server.command[1:]]
        await running.restate.restart()
        away = time.time() - since
        assert await version(running.admin) == SERVER.version

        for id, (framework, claim) in in_flight.items():
            runs = await judged(running, framework, claim, id, since)
            assert runs["eligibility"] == Runs(starts=1)
        figure(
            f"from {OLDER.version} to {SERVER.version}: away for {away:.1f} s; the claims are answered after",
            time.time() - since,
        )
        for id, (framework, claim, answer) in decided.items():
            assert await submit(running, framework, claim) == id
            assert await running.answer(id) == answer
        for id, framework in waiting.items():
            assert (await say(running, framework, id)).status_code == 200
            assert "approved by a person: invoice seen" in await running.answer(id)
            (found,) = (await journal.read(running.admin, id)).values()
            assert_journal(found)
            starts = [entry.step for entry in running.lab.ledger(invocations=[id]) if entry.event == "start"]
            assert sorted(starts) == sorted(CHECKS), "each ran once, before the server was replaced"


async def send(running: Stack, framework: Framework, claim: InsuranceClaim, pattern: Pattern = FAN_OUT) -> str:
    """Like `submit`, at the address of versions before 1.7."""
    response = await running.ingress.post(
        f"/{framework.path(pattern=pattern)}/send",
        json=framework.body(claim),
        headers={"idempotency-key": claim.reason},
    )
    id: str = response.raise_for_status().json()["invocationId"]
    return id


async def version(admin: httpx.AsyncClient) -> str:
    """The version of the running server."""
    said: str = (await admin.get("/version")).json()["version"]
    return said
