"""The clock of an agent jumps (libfaketime), or is wrong from the start.

Restate's binary is linked statically, so its clock cannot be faked, and a test must not set the machine's clock. For a
timer, only the difference of the two clocks matters: the agent's sets the due time, and the server's reaches it.
"""

import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from deploy import identity
from lab.ledger import Fault
from tests.conformance.approvals import say, until, until_waiting
from tests.conformance.cases import tagged
from tests.faults.claims import IN_FLIGHT, LANGUAGES, assert_journal, each_language, entries, figure, half_done, submit
from tour.runtime import journal, stack
from tour.runtime.frameworks import APPROVAL, Framework
from tour.runtime.stack import CHECKS, Stack

pytestmark = [
    pytest.mark.nightly,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.server,
    pytest.mark.real_starts,  # the library is loaded when a process starts
    each_language,
]

HOUR = 3600
DEADLINE = 4
HURRIED = replace(APPROVAL, name="hurried", variant="hurried", env={"APPROVAL_DEADLINE": str(DEADLINE)})

Clock = Callable[[int], None]
"""Sets the agents' clock ahead of the machine's by a number of seconds."""


def library() -> Path:
    """The library of Debian's package libfaketime."""
    if found := list(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1")):
        return found[0]
    pytest.skip("libfaketime is not installed (Debian: apt-get install libfaketime)")


@pytest.fixture(scope="module")
def faked(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The file that sets the fake clock, and the environment of a process that uses it."""
    file = tmp_path_factory.mktemp("clock") / "offset"
    file.write_text("+0")
    return file, {
        "LD_PRELOAD": str(library()),
        "FAKETIME_TIMESTAMP_FILE": str(file),
        "FAKETIME_NO_CACHE": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",  # which no clock that is set changes
        "NO_FAKE_STAT": "1",
    }


@pytest.fixture
def clock(faked: tuple[Path, dict[str, str]]) -> Iterator[Clock]:
    file, _ = faked

    def set_to(offset: int) -> None:
        (new := file.with_suffix(".new")).write_text(f"{offset:+d}")
        new.rename(file)

    yield set_to
    set_to(0)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(faked: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    env = {**faked[1], "MODEL_TIMEOUT": "2"}
    async with stack.running(tmp_path_factory.mktemp("clock"), frameworks=LANGUAGES, agent_env=env) as running:
        await running.add(HURRIED)
        yield running


jumps = pytest.mark.parametrize("offset", [-HOUR, HOUR])


@jumps
async def test_it_jumps_while_checks_are_in_flight(
    running: Stack, framework: Framework, clock: Clock, offset: int
) -> None:
    claim = tagged()
    id = await half_done(running, framework, claim)
    began = time.monotonic()
    clock(offset)
    assert (await running.answer(id)).startswith("Approved:")
    waited = time.monotonic() - began
    (found,) = (await journal.read(running.admin, id)).values()
    assert_journal(found)
    ledger = running.lab.ledger(invocations=[id])
    assert sorted(entry.step for entry in ledger if entry.event == "start") == sorted(CHECKS)
    ends = [entry.at for entry in ledger if (entry.step, entry.event) == ("cost", "end")]
    if not framework.on_node:  # whose ledger takes another clock
        assert abs(ends[0] - time.time() - offset) < 60, "it did jump"
    figure(f"{framework.name}: the clock jumps by {offset} s, and the claim is answered after", waited)
    assert waited < IN_FLIGHT + 15


@jumps
async def test_it_jumps_while_the_model_hangs(running: Stack, framework: Framework, clock: Clock, offset: int) -> None:
    """The timeout of a model call is not a time of day."""
    claim = tagged()
    running.lab.plan(Fault("model", "hang", 30, about=claim.reason, turn=0))
    id = await submit(running, framework, claim)

    async def it_hangs() -> bool:
        return running.lab.injected() > before

    before = running.lab.injected() - 1
    await until(it_hangs)
    began = time.monotonic()
    clock(offset)
    assert (await running.answer(id)).startswith("Approved:")
    waited = time.monotonic() - began
    figure(f"{framework.name}: the clock jumps by {offset} s while the model hangs, and the claim is answered", waited)
    assert 1 < waited < 20


async def due(running: Stack, id: str) -> float:
    """The deadline of this claim's request for approval (s since the epoch), from the journal."""
    sql = f"SELECT id FROM sys_invocation WHERE target_service_key = '{id}' AND target_handler_name = 'run'"
    (row,) = await journal.query(running.admin, sql)
    found = [json.loads(entry["entry_json"]) for entry in await entries(running, row["id"])]
    (sleep,) = (entry["Command"]["Sleep"] for entry in found if "Sleep" in entry.get("Command", {}))
    return float(sleep["wake_up_time"]) / 1000


async def refused(running: Stack, id: str) -> None:
    answer = await running.answer(id)
    assert answer.startswith("Rejected:")
    assert "nobody decided in time" in answer


async def test_it_is_an_hour_behind_and_the_deadline_is_over_at_once(
    running: Stack, framework: Framework, clock: Clock
) -> None:
    clock(-HOUR)
    sent = time.time()
    id = await submit(running, framework, tagged("round-emergency"), HURRIED)
    await refused(running, id)
    assert await due(running, id) < sent - HOUR + DEADLINE + 60
    figure(f"{framework.name}: an hour behind, a deadline of {DEADLINE} s is over after", time.time() - sent)


async def test_it_is_an_hour_ahead_and_the_deadline_is_an_hour_late(
    running: Stack, framework: Framework, clock: Clock
) -> None:
    clock(HOUR)
    id = await submit(running, framework, tagged("round-emergency"), HURRIED)
    await until_waiting(running, id)
    late = await due(running, id) - time.time() - DEADLINE
    assert abs(late - HOUR) < 60
    figure(f"{framework.name}: an hour ahead, a deadline of {DEADLINE} s is late by", late)
    assert (await say(running, framework, id, pattern=HURRIED)).status_code == 200
    assert "approved by a person" in await running.answer(id)


@jumps
async def test_it_jumps_while_a_person_is_asked(
    running: Stack, framework: Framework, clock: Clock, offset: int
) -> None:
    """The time at which a timer is due is in the journal: it does not move."""
    id = await submit(running, framework, tagged("round-emergency"), HURRIED)
    await until_waiting(running, id)
    at = await due(running, id)
    clock(offset)
    await refused(running, id)
    assert -1 < time.time() - at < 15
    figure(f"{framework.name}: the clock jumps by {offset} s, and the deadline is late by", time.time() - at)


async def test_an_agent_that_checks_signatures_refuses_restate_until_its_clock_is_right(
    faked: tuple[Path, dict[str, str]], framework: Framework, clock: Clock, tmp_path: Path
) -> None:
    """A signature is valid for a minute."""
    key = identity.make(tmp_path / "identity.pem")
    async with stack.running(
        tmp_path,
        frameworks=[framework],
        server_env={"RESTATE_WORKER__INVOKER__REQUEST_IDENTITY_PRIVATE_KEY_PEM_FILE": str(key.private)},
        agent_env={**faked[1], "RESTATE_IDENTITY_KEY": key.public},
    ) as running:
        clock(HOUR)
        claim = tagged()
        id = await submit(running, framework, claim)

        async def it_is_refused() -> str | None:
            found = (await journal.read(running.admin, id)).get(id)
            return found.error if found and found.status != "completed" else None

        problem = await until(it_is_refused)
        assert problem
        assert "401" in problem
        clock(0)
        began = time.monotonic()
        assert (await running.answer(id)).startswith("Approved:")
        figure(f"{framework.name}: refused with {problem[:90]!r}; once the clock is right,", time.monotonic() - began)
        ledger = running.lab.ledger(invocations=[id])
        assert sorted(entry.step for entry in ledger if entry.event == "start") == sorted(CHECKS)
