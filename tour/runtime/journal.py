"""Invocations, read from Restate's journal: their steps, the times of the steps, the failed attempts.

The sources are the admin API's SQL tables `sys_invocation`, `sys_journal` and `sys_journal_events`. Times come from the
Restate server, in milliseconds. The agents themselves are not instrumented.
"""

import asyncio
import json
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import httpx

from durable.budget import MODEL_CALLS, usage
from tour.runtime.errors import TourError
from tour.runtime.processes import POLL

BOOKKEEPING = {"store session", "archive events"}
"""Steps of the integrations that are neither model calls nor steps of a tool."""


@dataclass(frozen=True)
class Step:
    """One durable step (`ctx.run`). Times are in ms since the epoch; `end` is None until there is a result."""

    index: int
    name: str
    start: float
    end: float | None
    failed: bool

    @property
    def duration(self) -> float:
        """Milliseconds from the step's journal entry to its result's entry; 0 without a result."""
        return (self.end or self.start) - self.start

    @property
    def is_model_call(self) -> bool:
        return self.name in MODEL_CALLS


@dataclass(frozen=True)
class Failure:
    """A failed attempt of the invocation. `at` is in ms since the epoch; `step` is the step that failed, if any.

    `code` is Restate's error code or an HTTP status. `trace` is the agent's traceback; it is empty if the agent's code
    raised no error, as after a kill.
    """

    at: float
    step: str | None
    message: str
    code: int = 500
    trace: str = ""


@dataclass(frozen=True)
class Invocation:
    """One invocation. Times are in ms since the epoch, durations in ms, sizes in bytes; `entries` counts the journal's.

    `error` is the failure of the invocation, or of its last attempt; None if there was none.
    """

    id: str
    status: str
    created: float
    completed: float | None
    error: str | None
    entries: int
    size: int
    steps: tuple[Step, ...] = ()
    failures: tuple[Failure, ...] = field(default=())

    @property
    def total(self) -> float:
        return (self.completed or self.created) - self.created

    @property
    def model_calls(self) -> tuple[Step, ...]:
        return tuple(step for step in self.steps if step.is_model_call)

    @property
    def model_time(self) -> float:
        return sum(step.duration for step in self.model_calls)

    @property
    def checks(self) -> tuple[Step, ...]:
        """The steps of tools."""
        return tuple(step for step in self.steps if not step.is_model_call and step.name not in BOOKKEEPING)

    @property
    def span(self) -> float:
        """The time from the start of the first check to the end of the last."""
        if not self.checks:
            return 0.0
        return max(step.end or step.start for step in self.checks) - min(step.start for step in self.checks)

    @property
    def parallelism(self) -> float:
        """The sum of the checks' times over their span: 3.0 for three equal checks in parallel, 1.0 for one by one."""
        return sum(step.duration for step in self.checks) / self.span if self.span else 0.0


async def query(admin: httpx.AsyncClient, sql: str, timeout: float = 10.0) -> list[dict[str, Any]]:
    """The rows of a SQL query to Restate's admin API.

    Soon after a start, the server answers 500 while it looks for a partition's node, at times again after it has
    answered. The query is then repeated for up to `timeout` seconds. Raises: httpx.HTTPError.
    """
    deadline = time.monotonic() + timeout
    while True:
        response = await admin.post("/query", json={"query": sql}, headers={"accept": "application/json"})
        if not _looks_for_partition(response) or time.monotonic() > deadline:
            break
        await asyncio.sleep(POLL)
    response.raise_for_status()
    rows: list[dict[str, Any]] = response.json()["rows"]
    return rows


def _looks_for_partition(response: httpx.Response) -> bool:
    return response.status_code == 500 and bool(re.search(r"\b(node|partition|leader)\b", response.text))


async def ready(admin: httpx.AsyncClient, timeout: float = 30.0) -> None:
    """Wait until Restate answers queries. Raises: TourError after `timeout` seconds; httpx.HTTPError."""
    try:
        await query(admin, "SELECT id FROM sys_invocation LIMIT 1", timeout)
    except httpx.HTTPStatusError as error:
        raise TourError(
            f"Restate answers no query on {admin.base_url}: {error.response.text}", "Start it again."
        ) from error


def _among(ids: Sequence[str]) -> str:
    return f"id IN ({', '.join(repr(id) for id in ids)})"


async def tokens(admin: httpx.AsyncClient, *ids: str) -> dict[str, tuple[int, int]]:
    """The tokens that the model read and wrote, by invocation id, from its answers in the journal."""
    if not ids:
        return {}
    rows = await query(
        admin,
        "SELECT id, entry_type, name, entry_json FROM sys_journal"
        f" WHERE {_among(ids)} AND entry_type IN ('Command: Run', 'Notification: Run')"
        " ORDER BY id, index",
    )
    used = dict.fromkeys(ids, (0, 0))
    calls: set[tuple[str, int]] = set()
    for row in rows:
        entry = json.loads(row["entry_json"])
        if "Command" in entry and row["name"] in MODEL_CALLS:
            calls.add((row["id"], entry["Command"]["Run"]["completion_id"]))
        elif "Notification" in entry:
            run = entry["Notification"]["Completion"]["Run"]
            if (row["id"], run["completion_id"]) in calls and (answer := run["result"].get("Success")):
                read, written = used[row["id"]]
                more = usage(json.loads(bytes(answer)))
                used[row["id"]] = read + more[0], written + more[1]
    return used


async def read(admin: httpx.AsyncClient, *ids: str) -> dict[str, Invocation]:
    """The invocations with these ids, by id; an id that Restate does not know yet is missing."""
    if not ids:
        return {}
    among = _among(ids)
    heads = await query(
        admin,
        "SELECT id, status, created_at, completed_at, completion_failure, last_failure, journal_size"
        f" FROM sys_invocation WHERE {among}",
    )
    entries = await query(
        admin,
        "SELECT id, index, entry_type, name, raw_length, entry_lite_json, appended_at"
        f" FROM sys_journal WHERE {among} ORDER BY id, index",
    )
    events = await query(
        admin,
        f"SELECT id, appended_at, event_json FROM sys_journal_events WHERE {among} ORDER BY appended_at",
    )
    return {head["id"]: _invocation(head, _of(entries, head), _of(events, head)) for head in heads}


async def stored(admin: httpx.AsyncClient, service: str, key: str, entry: str) -> int:
    """The size in bytes of one state entry of a Virtual Object; 0 if there is none."""
    rows = await query(
        admin,
        "SELECT octet_length(value_utf8) AS size FROM state"
        f" WHERE service_name = {service!r} AND service_key = {key!r} AND key = {entry!r}",
    )
    return int(rows[0]["size"]) if rows else 0


def _of(rows: list[dict[str, Any]], head: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in rows if row["id"] == head["id"]]


def _invocation(head: dict[str, Any], entries: list[dict[str, Any]], events: list[dict[str, Any]]) -> Invocation:
    results = {}
    for entry in entries:
        if entry["entry_type"] == "Notification: Run":
            notification = json.loads(entry["entry_lite_json"])["Notification"]
            results[notification["id"]["CompletionId"]] = (_ms(entry["appended_at"]), notification["result"])
    steps = []
    for entry in entries:
        if entry["entry_type"] == "Command: Run":
            completion_id = json.loads(entry["entry_lite_json"])["Command"]["Run"]["completion_id"]
            end, result = results.get(completion_id, (None, None))
            failed = result is not None and result != "Success"
            steps.append(Step(entry["index"], entry.get("name", ""), _ms(entry["appended_at"]), end, failed))
    failures = []
    for event in events:
        detail = json.loads(event["event_json"])
        failures.append(
            Failure(
                _ms(event["appended_at"]),
                detail.get("related_command_name"),
                detail.get("error_message", ""),
                detail.get("error_code", 500),
                detail.get("error_stacktrace", ""),
            )
        )
    return Invocation(
        id=head["id"],
        status=head["status"],
        created=_ms(head["created_at"]),
        completed=_ms(head["completed_at"]) if head.get("completed_at") else None,
        error=head.get("completion_failure") or head.get("last_failure"),
        entries=head.get("journal_size") or len(entries),
        size=sum(entry.get("raw_length") or 0 for entry in entries),
        steps=tuple(steps),
        failures=tuple(failures),
    )


def _ms(timestamp: str) -> float:
    return datetime.fromisoformat(timestamp).timestamp() * 1000
