"""The peers of the benchmark are the same agent, each durable in its own way."""

import asyncio
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from bench import contenders, crashes
from bench.contenders import PEERS, Peer, Running
from bench.crashes import DOCUMENTED, MIDDLE, POINTS, Durable, Recovery
from bench.siblings import Siblings, beside_a_failure
from lab.ledger import Entry, Event, Fault, Lab
from offline_model.faults import digest
from shared.checks import check_eligibility, check_fraud, compare_to_standard_rates
from shared.claims import sample_claims
from tests.nightly import by_night
from tour.runtime import processes, stack
from tour.runtime.frameworks import PYTHON
from tour.runtime.processes import free_port

QUICK_TO_START = [peer for peer in PEERS if peer.name.endswith(".sqlite") or peer.name == "temporal"]
TRIED = [
    *(pytest.param(peer, marks=pytest.mark.in_turn(1)) for peer in QUICK_TO_START),
    *by_night(peer for peer in PEERS if peer not in QUICK_TO_START),
]
"""The peers to try. The servers of the others start slowly, or their environments take long to install."""

QUICK = replace(MIDDLE, faults=(Fault(crashes.SLOW, "delay", 1.0),), settle=0.3)


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    lab = Lab(tmp_path / "lab.sqlite")
    yield lab
    lab.close()


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crashes, "DELAY", 1.0)


@asynccontextmanager
async def model(folder: Path) -> AsyncIterator[Callable[[str], dict[str, str]]]:
    port, lab = free_port(), {"TOUR_LAB": str(folder / "lab.sqlite")}
    command = [sys.executable, "-m", "offline_model", "--port", str(port)]
    async with processes.running("The offline model", command, folder / "model.log", lab) as process:
        await process.until(f"http://127.0.0.1:{port}/health")
        yield lambda name: {
            "TOUR_SERVICE_PREFIX": name,
            "OPENAI_BASE_URL": f"http://127.0.0.1:{port}/{name}/v1",
            "OPENAI_API_KEY": "none",
            **lab,
        }


async def decision(verdict: str, sample: str) -> str:
    """The answer of every agent of the tour to a sample."""
    claim = sample_claims()[sample]
    metrics = await asyncio.gather(check_eligibility(claim), compare_to_standard_rates(claim), check_fraud(claim))
    return f"{verdict}: {'; '.join(metrics)}."


def runs(entries: list[Entry]) -> Counter[tuple[str, str]]:
    return Counter((entry.step, entry.event) for entry in entries)


@pytest.mark.server
@pytest.mark.parametrize("peer", TRIED, ids=lambda peer: peer.name)
async def test_a_peer_decides_like_the_others_and_survives_a_kill(peer: Peer, tmp_path: Path, lab: Lab) -> None:
    async with model(tmp_path) as env, contenders.running(peer, tmp_path / peer.name, env) as running:
        await decides_like_the_others(running)
        await runs_a_claim_once(running, lab)
        await refuses_a_bad_claim(running)
        assert_consistent(await crashes.recovery(running, lab, QUICK), lab)
        if peer.store == "temporal":
            assert_siblings_go_on(await beside_a_failure(running, lab))
        await running.side.send()  # as the benchmark does
        assert not running.process.log_tail().count("Traceback")


async def decides_like_the_others(running: Running) -> None:
    for verdict, sample in (("Approved", "broken-leg"), ("Rejected", "not-covered")):
        assert await running.post(sample, sample_claims()[sample]) == await decision(verdict, sample)


async def runs_a_claim_once(running: Running, lab: Lab) -> None:
    claim = sample_claims()["broken-leg"].model_copy(update={"reason": "sent three times"})
    first, second = await asyncio.gather(running.post("one", claim), running.post("one", claim))
    assert first == second == await running.post("one", claim) == await decision("Approved", "broken-leg")
    checks = runs(lab.ledger(running.name, ["one"]))
    assert checks == {(check, event): 1 for check in stack.CHECKS for event in ("start", "end")}
    calls = runs(lab.ledger(running.name, [digest(f"Claim: {claim.model_dump_json()}")]))
    assert calls == {("model", "start"): 2}


async def refuses_a_bad_claim(running: Running) -> None:
    bad = sample_claims()["broken-leg"].model_dump(mode="json") | {"amount": "much"}
    response = await running.client.post("/run/bad", json=bad)
    assert response.status_code == 400
    assert "amount" in response.json()["message"]
    assert (await running.client.post("/run/none")).status_code == 400


def assert_consistent(recovery: Recovery, lab: Lab) -> None:
    """Asserts only that the ledger agrees, not the repeats themselves."""
    print(recovery)
    assert recovery.right
    assert recovery.ready > 0
    assert recovery.answered > crashes.DELAY
    [*_, last] = [entry.invocation for entry in lab.ledger(recovery.name) if entry.step == crashes.SLOW]
    starts = {step: n for (step, event), n in runs(lab.ledger(recovery.name, [last])).items() if event == "start"}
    assert starts.pop(crashes.SLOW) == 2, "it was cut off, and had to run again"
    assert [step for step in stack.CHECKS if starts.get(step, 0) > 1] == recovery.repeated_checks


def assert_siblings_go_on(siblings: Siblings) -> None:
    assert siblings.answered
    assert (siblings.sends, siblings.runs) == (1, 1), "the slow step beside the one that failed"


@pytest.mark.server
@pytest.mark.in_turn(1)
async def test_restate_s_agents_are_judged_by_the_same_function(tmp_path: Path) -> None:
    framework = PYTHON[-1]
    async with stack.running(tmp_path, frameworks=[framework]) as running:
        await running.add(DOCUMENTED)
        contender = Durable(running, framework)
        assert_siblings_go_on(await beside_a_failure(contender, running.lab))
        assert (await beside_a_failure(Durable(running, framework, DOCUMENTED), running.lab)).runs == 2
        assert_consistent(await crashes.recovery(contender, running.lab, QUICK), running.lab)
        for point in POINTS:
            recovery = await crashes.recovery(contender, running.lab, point)
            assert recovery.right
            assert not recovery.repeated_checks or point in crashes.WINDOWS, recovery
            assert not recovery.repeated_model_calls, recovery


def test_what_counts_as_repeated() -> None:
    def entry(at: float, step: str, event: Event, detail: str = "") -> Entry:
        return Entry(at, 1, "peer", "claim", step, event, detail)

    before = [
        entry(1, "model", "start", "turn 0"),
        entry(2, "eligibility", "start"),
        entry(2, "cost", "start"),
        entry(2, "fraud", "start"),
        entry(3, "eligibility", "end", "ok"),
        entry(3, "cost", "end", "failed"),
    ]
    killed = 4
    again = [entry(5, "model", "start", "turn 0"), *(entry(6, check, "start") for check in stack.CHECKS)]
    after = [*again, entry(7, "model", "start", "turn 1")]
    assert crashes.repeated([*before, *after], killed) == (["eligibility"], 1)
    assert crashes.repeated([before[0], *again], killed) == ([], 0), "that call may not have been answered"
    assert crashes.repeated(before, killed) == ([], 0)
