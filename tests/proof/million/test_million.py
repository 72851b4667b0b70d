"""A minute of the storms of `tests.proof.million`, with a new seed each day, and a proof that they can fail."""

import json
import os
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console

from tests.proof.million.__main__ import prove
from tests.proof.million.evidence import Kind, Life, Record, judge, records, result
from tests.proof.million.proof import Proof
from tests.proof.million.raging import rage
from tests.proof.million.shrinking import smallest
from tests.proof.million.storm import SERVER, Invocation, Step, Storm, plan
from tests.proof.million.witness import Messages
from tour.runtime.frameworks import ROOT

SECONDS = float(os.environ.get("MILLION_SECONDS") or 8)
"""Seconds after which no round of `test_a_part_of_today_s_storm` begins."""

STORM = Storm(invocations=[Invocation(number=7, handler="fan_out", calls=[[[Step(0), Step(1)]]])], kills=[])
LIFE = Life(0, 0, 0)


def started(step: int, run: int, life: Life = LIFE, attempt: int = 0) -> Record:
    return Record(Kind.STARTED, life, attempt, 7, step, run)


def failed(start: Record) -> Record:
    return start._replace(kind=Kind.FAILED)


def returned(start: Record) -> Record:
    return start._replace(kind=Kind.RETURNED)


def completed(start: Record) -> Record:
    return start._replace(kind=Kind.COMPLETED)


def ended(start: Record) -> Record:
    return Record(Kind.ENDED, start.life, start.attempt)


FIRST = started(0, run=1)
OTHER = started(1, run=2)
RETRIED = failed(FIRST), started(0, run=3, attempt=1)
NEXT_LIFE = LIFE._replace(agent_start=1)
NEXT_SERVER = LIFE._replace(server_start=1)


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ([FIRST, OTHER, completed(OTHER), *RETRIED, completed(RETRIED[1])], []),
        ([FIRST, OTHER, completed(OTHER), *RETRIED, started(1, 4, attempt=1)], ["redone"]),
        ([FIRST, OTHER, completed(OTHER), started(1, 4, NEXT_LIFE)], ["redone"]),
        ([FIRST, OTHER, *RETRIED, started(1, 4, attempt=1)], ["repeated"]),
        ([FIRST, OTHER, started(0, 3, NEXT_LIFE), started(1, 4, NEXT_LIFE)], []),
        ([FIRST, OTHER, started(1, 4, NEXT_SERVER)], []),
        ([FIRST, OTHER, failed(FIRST), ended(FIRST), started(1, 4, NEXT_SERVER)], ["repeated"]),
        ([FIRST, OTHER, failed(FIRST), returned(OTHER), ended(FIRST), started(1, 4, NEXT_SERVER)], []),
        ([FIRST, OTHER, failed(FIRST), returned(OTHER), ended(FIRST), started(1, 4, NEXT_LIFE)], ["repeated"]),
        ([FIRST, OTHER, failed(FIRST), ended(FIRST), started(1, 4, NEXT_LIFE)], ["repeated"]),
    ],
)
def test_the_judge_finds_what_ran_again(written: list[Record], found: list[str], tmp_path: Path) -> None:
    file = tmp_path / "evidence"
    file.write_bytes(b"".join(record.bytes() for record in written))
    assert list(records(file)) == written
    verdict = judge(STORM, file, {})
    assert ["redone"] * len(verdict.redone) + ["repeated"] * len(verdict.repeated) == found


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ([result(7, 0, 1), result(7, 1, 2)], True),
        ([result(7, 1, 2), result(7, 0, 1)], False),
        ([result(7, 0, 1), result(7, 1, 9)], False),
        ([result(7, 0, 1)], False),
        (None, False),
    ],
)
def test_the_judge_compares_the_answer(answer: object, right: bool, tmp_path: Path) -> None:
    file = tmp_path / "evidence"
    file.write_bytes(b"".join(record.bytes() for record in (FIRST, OTHER, completed(FIRST), completed(OTHER))))
    assert judge(STORM, file, {7: answer}).kept is right


def test_completions_are_found_wherever_the_bytes_are_cut() -> None:
    def message(kind: int, body: bytes) -> bytes:
        return Messages.HEADER.pack(kind, 0, len(body)) + body

    sent = message(0x0400, b"input") + b"".join(
        message(Messages.RUN_COMPLETION, b'\x08\x01\x2a"' + f'"{result(7, step, 5)}"'.encode()) for step in (3, 4)
    )
    for at in range(len(sent)):
        messages = Messages()
        found = [*messages.completions(sent[:at]), *messages.completions(sent[at:])]
        assert found == [(7, 3, 5), (7, 4, 5)]


async def test_a_storm_shrinks_to_its_culprits() -> None:
    storm = plan(2000, "shrink", 2)
    kill = storm.kills[2]
    (number, first), (_, second) = [each for each in storm.steps if each[0] == 5][10:12]

    async def fails(smaller: Storm) -> bool:
        return {(number, first), (number, second)} <= set(smaller.steps) and kill in smaller.kills

    small = await smallest(storm, [f"({number}, 3): started"], fails)
    assert small.steps == [(number, first), (number, second)]
    assert small.kills == [kill]


def test_a_seed_gives_one_storm_and_another_seed_another() -> None:
    storm = plan(3000, "1/0", 2)
    assert storm == plan(3000, "1/0", 2) != plan(3000, "1/1", 2)
    assert Storm.model_validate_json(storm.model_dump_json()) == storm
    assert {kill.victim for kill in storm.kills} >= {SERVER, 0}


def test_the_page_has_the_figures_of_the_run() -> None:
    run = json.loads((ROOT / "docs/million.json").read_text())
    page = " ".join((ROOT / "docs/verification.md").read_text().split())
    for said in (
        f"{run['steps']:,} steps in {run['invocations']:,} invocations, with {run['failures']:,} failures of steps, "
        f"{run['agent_kills']} kills of agents and {run['server_kills']} of the server, "
        f"in {run['seconds'] / 60:.0f} minutes",
        f"Kills cost {run['lost']:,} starts",
        f"{run['steps']:,} steps under {run['agent_kills'] + run['server_kills']} kills: none repeated, none redone",
    ):
        assert said in page
    assert run["redone"] == run["repeated"] == run["wrong"] == 0
    assert run["upper_bound_95"] < 1e-6, "below one in a million"


@pytest.mark.server
async def test_without_hold_failures_it_is_found(tmp_path: Path) -> None:
    storm = plan(1000, "plain", 2).model_copy(update={"kills": []})
    assert (await rage(storm, tmp_path, plain=True)).verdict.repeated


@pytest.mark.server
@pytest.mark.timeout(300)
async def test_a_part_of_today_s_storm(tmp_path: Path) -> None:
    proof = Proof(seed=date.today().isoformat())
    await prove(proof, tmp_path / "proof.json", Console(), steps=10**9, round_steps=5000, seconds=SECONDS, plain=False)
    assert not proof.failed, proof.failed[0].violations
    assert proof.sum("failures") > 0
    assert proof.sum("agent_kills") > 0
    assert proof.sum("server_kills") > 0
