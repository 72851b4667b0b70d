"""Google ADK: a long session stays quick, and loses nothing."""

import itertools
import json
from pathlib import Path

import pytest

from lab.ledger import Fault
from shared.claims import sample_claims
from tour.runtime import journal, stack
from tour.runtime.frameworks import FRAMEWORKS

[ADK] = (framework for framework in FRAMEWORKS if framework.keyed)
TURNS = 48
"""Long enough for two summaries, of which the second includes the first."""


@pytest.mark.in_turn(1)
@pytest.mark.parametrize("inactivity", ["1m", "0s"], ids=["live", "replaying"])
async def test_a_long_session_is_compacted(inactivity: str, tmp_path: Path) -> None:
    claim = sample_claims()["broken-leg"]
    env = {"RESTATE_WORKER__INVOKER__INACTIVITY_TIMEOUT": inactivity}
    async with stack.running(tmp_path, frameworks=[ADK], server_env=env) as running:
        sizes = []
        for turn in range(1, TURNS + 1):
            answer = await running.answer(await running.submit(ADK, claim, "anna", "long"))
            assert answer.startswith("Approved:")
            assert f"(claim {turn} in this session)" in answer or turn == 1, "the model still knows of all of them"
            sizes.append(await journal.stored(running.admin, ADK.service(), "anna", "session_store::long"))
        entries = await journal.query(
            running.admin, "SELECT key, value_utf8 FROM state WHERE service_key = 'anna' ORDER BY key"
        )
    summaries = sum(later < size for size, later in itertools.pairwise(sizes))
    assert summaries >= 2
    assert max(sizes[TURNS // 2 :]) <= 1.2 * max(sizes[: TURNS // 2])

    kept = {entry["key"]: json.loads(entry["value_utf8"])["events"] for entry in entries}
    assert len([key for key in kept if key.startswith("session_archive::long::")]) == summaries
    ids = [event["id"] for events in kept.values() for event in events]
    assert len(ids) == len(set(ids)), "no event is kept twice"
    asked = [event for events in kept.values() for event in events if event["author"] == "user" and event["content"]]
    assert len(asked) == TURNS, "none is lost"


@pytest.mark.in_turn(1)
async def test_a_summary_that_fails_costs_the_claim_nothing(tmp_path: Path) -> None:
    claim = sample_claims()["broken-leg"]
    async with stack.running(tmp_path, frameworks=[ADK]) as running:
        running.lab.plan(Fault("model", "status", 401, times=99, about="summarize the context"))
        turn = 0
        while not running.lab.injected():
            turn += 1
            assert turn <= TURNS // 2, "by now the session is long"
            answer = await running.answer(await running.submit(ADK, claim, "anna", "long"))
            assert answer.startswith("Approved:")
        answer = await running.answer(await running.submit(ADK, claim, "anna", "long"))
        assert f"(claim {turn + 1} in this session)" in answer
