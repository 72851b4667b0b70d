"""Linearizability under kills: the claims of one user happen in some order, and each sees all claims before it.

By hand, more seeds: `SESSION_SEEDS=20 uv run pytest tests/sessions -n 0 -s -k some_order`.
"""

import os
import re
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from offline_model.server import serve_in_thread
from tests.sessions.claims_under_kills import ADK, Seen, Witness, claims_under_kills
from tests.sessions.histories import happened, smallest, timeline
from tour.runtime import stack
from tour.runtime.frameworks import FAN_OUT, Pattern
from tour.runtime.stack import Stack

pytestmark = [pytest.mark.server, pytest.mark.asyncio(loop_scope="module")]

SEEDS = range(1, 1 + int(os.environ.get("SESSION_SEEDS") or 1))


@pytest.fixture(scope="module")
def witness() -> Witness:
    return Witness()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(witness: Witness, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    """Restate and the agent, whose model is in this process."""
    model = {"GOOGLE_GEMINI_BASE_URL": serve_in_thread(director=witness)}
    folder = tmp_path_factory.mktemp("sessions")
    async with stack.running(folder, frameworks=[ADK], agent_env=model) as running:
        yield running


def refused(seen: Seen) -> list[str]:
    """Pictures of the sessions that cannot have happened: the smallest part of each, and the whole."""
    return [
        f"{user}, session {session}: no order explains\n{timeline(smallest(turns))}\n\nin\n{timeline(turns)}"
        for (user, session), turns in seen.histories.items()
        if not happened(turns)
    ]


@pytest.mark.parametrize("seed", SEEDS)
async def test_the_claims_of_each_session_happened_in_some_order(running: Stack, witness: Witness, seed: int) -> None:
    seen = await claims_under_kills(running, FAN_OUT, witness, seed)
    found = refused(seen)
    claims = sum(map(len, seen.histories.values())) - len(seen.histories)
    events = ", ".join(f"{count} {what}" for what, count in sorted(seen.events.items()))
    print(f"seed {seed}: {claims} claims in {len(seen.histories)} sessions, {events}; {len(found)} refused")
    assert not found, "\n\n".join(found)
    for claim, answer in seen.answers.items():
        [earlier] = witness.seen[claim]
        said = re.search(r"\(claim (\d+) in this session\)", answer)
        assert answer.startswith("Approved:"), answer
        assert int(said[1] if said else 1) == len(earlier) + 1, f"{claim}: {answer} {earlier}"
    assert min(seen.events["kills of the agent"], seen.events["kills of the server"]) > 0, "enough to prove something"
    assert len(seen.answers) >= claims / 2


@pytest.mark.parametrize(
    ("fault", "kills_of_agent", "kills_of_server"), [("side by side", 0, 0), ("forgetful", 2, 0), ("stale", 0, 2)]
)
async def test_a_fault_in_the_sessions_is_found(
    running: Stack, witness: Witness, fault: str, kills_of_agent: int, kills_of_server: int
) -> None:
    file, variant = "../tests/sessions/faulty_agent.py", fault.replace(" ", "_")
    pattern = Pattern(variant, fault, file, FAN_OUT.service, variant, env={"FAULT": fault})
    await running.add(pattern)
    kills = {"kills_of_agent": kills_of_agent, "kills_of_server": kills_of_server}
    for seed in range(1, 6):  # a server that is killed before an attempt has left a trace shows nothing
        seen = await claims_under_kills(running, pattern, witness, seed, clients=4, claims=3, **kills)
        for turns in seen.histories.values():
            turns[:] = [turn for turn in turns if turn.claim]  # the clients can tell, without a look into Restate
        if found := refused(seen):
            print(f"{fault}, seed {seed}:", "\n\n".join(found))
            return
    pytest.fail("not found")
