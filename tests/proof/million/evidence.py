"""The evidence, from outside Restate, and its judge.

Each agent process appends a record to one file at each event. `O_APPEND` gives the records of all processes one order,
and written records survive `kill -9`. A process records a step's completion when its bytes arrive from Restate, which
sends them once they are in the journal.
"""

import os
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import NamedTuple

from tests.proof.million.storm import Storm

_LAYOUT = struct.Struct("<cBHHIIHI")
SIZE = _LAYOUT.size


class Kind(Enum):
    STARTED = b"S"
    """A step's action starts."""
    FAILED = b"F"
    """The step fails, as planned."""
    RETURNED = b"R"
    """The step has a result, which the agent sends to Restate."""
    COMPLETED = b"C"
    """The step's completion arrives from Restate: it is in the journal."""
    ENDED = b"E"
    """The agent itself ends an attempt: with an answer, or with the error of a step."""


class Life(NamedTuple):
    """The number of starts of the agent and of the server. An attempt lives as long as these two processes."""

    agent: int
    agent_start: int
    server_start: int


class Record(NamedTuple):
    """`attempt` is unique in an agent process, `run` in a storm. `run` identifies one of a step's starts."""

    kind: Kind
    life: Life
    attempt: int
    invocation: int = 0
    step: int = 0
    run: int = 0

    def bytes(self) -> bytes:
        return _LAYOUT.pack(self.kind.value, *self.life, self.attempt, self.invocation, self.step, self.run)


class Evidence:
    """The file of records."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def append(self, record: Record) -> None:
        os.write(self._file, record.bytes())

    def close(self) -> None:
        os.close(self._file)


def records(path: Path) -> Iterator[Record]:
    """The records, in the order in which they were appended."""
    for kind, agent, agent_start, server_start, *rest in _LAYOUT.iter_unpack(path.read_bytes()):
        yield Record(Kind(kind), Life(agent, agent_start, server_start), *rest)


def result(invocation: int, step: int, run: int) -> str:
    """The result of a step: it names the run that made it."""
    return f"{invocation:07d}.{step:04d}.{run:08x}"


@dataclass
class Verdict:
    """The verdict on a storm. Each violation is a text that begins with the invocation and step."""

    steps: int = 0
    """The planned steps."""
    completed: int = 0
    starts: int = 0
    attempts_ended: int = 0
    failures: int = 0
    lost: int = 0
    """Starts whose result a kill kept out of the journal, so that the step had to start again."""
    redone: list[str] = field(default_factory=list)
    """Started after their completion was received."""
    repeated: list[str] = field(default_factory=list)
    """Started again, although the last start had not failed, and neither its agent nor the server had been killed."""
    wrong: list[str] = field(default_factory=list)
    """Invocations with a wrong answer or none; steps with two results or none."""

    @property
    def kept(self) -> bool:
        return not (self.redone or self.repeated or self.wrong)


def judge(storm: Storm, evidence: Path, answers: Mapping[int, object]) -> Verdict:
    """Compare the evidence, and the answer of each invocation, with the promise."""
    verdict = Verdict(steps=len(storm.steps))
    last: dict[tuple[int, int], Record] = {}
    completed: dict[tuple[int, int], int] = {}
    failed: set[Record] = set()
    returned: set[Record] = set()
    ended: set[tuple[Life, int]] = set()
    for record in records(evidence):
        about = (record.invocation, record.step)
        match record.kind:
            case Kind.STARTED:
                verdict.starts += 1
                if about in completed:
                    verdict.redone.append(f"{about}: started in {record}, after its completion was received")
                elif (before := last.get(about)) and before not in failed:
                    if before.life == record.life:
                        verdict.repeated.append(f"{about}: started in {before} and in {record}, with no kill between")
                    elif before in returned and before.life.server_start < record.life.server_start:
                        verdict.lost += 1  # the server was killed before it had written the result
                    elif (before.life, before.attempt) in ended:
                        verdict.repeated.append(f"{about}: in flight when its attempt ended itself: {before}, {record}")
                    else:
                        verdict.lost += 1
                last[about] = record
            case Kind.FAILED:
                verdict.failures += 1
                failed.add(record._replace(kind=Kind.STARTED))
            case Kind.RETURNED:
                returned.add(record._replace(kind=Kind.STARTED))
            case Kind.COMPLETED:
                if completed.setdefault(about, record.run) != record.run:
                    verdict.wrong.append(f"{about}: two results, of the runs {completed[about]:x} and {record.run:x}")
            case Kind.ENDED:
                verdict.attempts_ended += 1
                ended.add((record.life, record.attempt))
    verdict.completed = len(completed)
    for invocation in storm.invocations:
        number = invocation.number
        done = [(step.id, completed.get((number, step.id))) for step in invocation.steps]
        right = [result(number, id, run) for id, run in done if run is not None]
        if len(right) < len(done) or answers.get(number) != right:
            verdict.wrong.append(f"({number}): answered {answers.get(number)}, and its steps came to {right}")
    return verdict
