"""Faults to inject, and a ledger of every run of a step, in one SQLite file that survives `kill -9`."""

import json
import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import astuple, dataclass, fields
from typing import Literal

BUSY = 30.0
"""Seconds to wait for another process that writes."""

Kind = Literal[
    "delay",
    "fail",
    "terminal",
    "crash-before",
    "crash-after",
    "freeze",
    "status",
    "hang",
    "cut",
    "truncate",
    "stall",
    "error-event",
    "split-bytes",
    "split-escapes",
    "say",
    "raw",
    "change",
]
Event = Literal["start", "end", "injected"]


@dataclass(frozen=True)
class Fault:
    """One planned fault of one step.

    A step obeys `delay` (`value` seconds, every time), `fail` (a retryable error), `terminal` (an error with HTTP
    status `value`), `crash-before` and `crash-after` (the process kills itself with SIGKILL before or after the work),
    and `freeze` (before the work, the process stops turning its event loop permanently). The step `model` is the
    offline model; it obeys `delay`, `status` (HTTP status `value`), `hang` (`value` seconds), `cut`, `truncate`,
    `stall` (`value` seconds), `error-event` (`value`, or 500, is its status), `split-bytes`, `split-escapes`, `say`,
    `raw` and `change`. `detail` is JSON: the turn to say, also when it is split; an object of `status`, `headers` and
    `body`; a list of changes to the answer (`offline_model/changes.py`).
    """

    step: str
    kind: Kind
    value: float = 0.0
    times: int = 1
    """How often the fault happens per invocation (for the model, per prompt and framework); a `delay` ignores it."""
    framework: str | None = None
    """Only in this framework; None: in all frameworks."""
    about: str | None = None
    """Only if the arguments of the step, or the prompt of the model, contain this text; None: always."""
    turn: int | None = None
    """Only in this turn of the model, from 0; None: in each turn."""
    detail: str = ""


@dataclass(frozen=True)
class Entry:
    """One line of the ledger. `at` is in seconds since the epoch; `detail` is an outcome or the fault's kind."""

    at: float
    pid: int
    framework: str
    invocation: str
    step: str
    event: Event
    detail: str


class Lab:
    """The lab's file. Any number of processes may have it open at once."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._db = sqlite3.connect(path, timeout=BUSY, isolation_level=None, check_same_thread=False)
        self._closing = weakref.finalize(self, self._db.close)
        self._turn = threading.RLock()  # threads share this connection, but must not share a transaction
        _use_wal(self._db)
        self._db.executescript(
            """
            PRAGMA synchronous = OFF;
            CREATE TABLE IF NOT EXISTS fault (
                id INTEGER PRIMARY KEY, step TEXT, kind TEXT, value REAL, times INTEGER,
                framework TEXT, about TEXT, turn INTEGER, detail TEXT
            );
            CREATE TABLE IF NOT EXISTS ledger (
                id INTEGER PRIMARY KEY, at REAL, pid INTEGER, framework TEXT, invocation TEXT,
                step TEXT, event TEXT, detail TEXT, fault INTEGER
            );
            CREATE INDEX IF NOT EXISTS ledger_fault ON ledger (fault, invocation);
            CREATE INDEX IF NOT EXISTS ledger_invocation ON ledger (invocation);
            """
        )

    def close(self) -> None:
        """Close the file. This also happens when the object is garbage collected."""
        self._closing()

    def plan(self, *faults: Fault) -> None:
        """Add faults to the plan; running processes obey them from their next step."""
        columns = ", ".join(field.name for field in fields(Fault))
        marks = ", ".join("?" for _ in fields(Fault))
        self._db.executemany(f"INSERT INTO fault ({columns}) VALUES ({marks})", map(astuple, faults))

    def clear_plan(self) -> None:
        """Forget all planned faults; the ledger stays."""
        self._db.execute("DELETE FROM fault")

    def forget(self) -> None:
        """Forget all planned faults and the ledger."""
        self.clear_plan()
        self._db.execute("DELETE FROM ledger")

    def record(
        self,
        framework: str,
        invocation: str,
        step: str,
        event: Event,
        detail: str = "",
        fault: int | None = None,
    ) -> None:
        """Add a line to the ledger, now and by this process."""
        with self._turn:
            self._db.execute(
                "INSERT INTO ledger (at, pid, framework, invocation, step, event, detail, fault)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
                (time.time(), os.getpid(), framework, invocation, step, event, detail, fault),
            )

    def ledger(self, framework: str | None = None, invocations: Iterable[str] | None = None) -> list[Entry]:
        """The ledger in the order of writing; only of this framework and these invocations, if given."""
        columns = ", ".join(field.name for field in fields(Entry))
        chosen = None if invocations is None else json.dumps(list(invocations))
        rows = self._db.execute(
            f"SELECT {columns} FROM ledger WHERE framework = coalesce(?, framework)"
            " AND (? IS NULL OR invocation IN (SELECT value FROM json_each(?))) ORDER BY id",
            (framework, chosen, chosen),
        )
        return [Entry(*row) for row in rows]

    def injected(self) -> int:
        """The number of faults injected so far."""
        (count,) = self._db.execute("SELECT count(*) FROM ledger WHERE event = 'injected'").fetchone()
        return int(count)

    def take(
        self,
        framework: str,
        invocation: str,
        step: str,
        about: str,
        kinds: Iterable[Kind],
        turn: int | None = None,
    ) -> list[Fault]:
        """The planned faults of these kinds that are due here; each but a delay is counted as injected."""
        wanted = list(kinds)
        columns = ", ".join(field.name for field in fields(Fault))
        with self._turn, self._transaction():
            rows = self._db.execute(
                f"SELECT id, {columns} FROM fault WHERE step = ? AND coalesce(framework, ?) = ?"
                " AND (about IS NULL OR instr(?, about)) AND (turn IS NULL OR turn = ?)"
                " AND (kind = 'delay' OR times >"
                " (SELECT count(*) FROM ledger WHERE fault = fault.id AND framework = ? AND invocation = ?))"
                f" AND kind IN ({', '.join('?' for _ in wanted)}) ORDER BY id",
                (step, framework, framework, about, turn, framework, invocation, *wanted),
            ).fetchall()
            delays = [Fault(*row[1:]) for row in rows if row[2] == "delay"]
            others = [(row[0], Fault(*row[1:])) for row in rows if row[2] != "delay"]
            for fault_id, fault in others[:1]:  # one fault at a time, so that the effect of each shows
                self.record(framework, invocation, step, "injected", fault.kind, fault_id)
        return delays + [fault for _, fault in others[:1]]

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._db.execute("BEGIN IMMEDIATE")
        try:
            yield
        finally:
            self._db.execute("COMMIT")


def _use_wal(db: sqlite3.Connection) -> None:
    """Switch to WAL: readers and one writer work at once, and a killed process loses no commit.

    If another process makes this change at the same time, SQLite fails at once instead of waiting.
    """
    deadline = time.monotonic() + BUSY
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.01)
