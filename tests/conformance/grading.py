"""The number of the suite's cases that an agent passes, by promise, for people and as JSON.

TOUR_AGENT=NAME=FILE uv run pytest tests/conformance -k live --json grade.json
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

PROMISES = {
    "decisions": "the answer follows from the checks, which run in parallel",
    "bad input": "a request that is no claim ends with 400 and the field's name",
    "siblings": "a check that fails is retried alone",
    "crashes": "after `kill -9`, the claim goes on, and no finished check runs again",
    "terminal errors": "a check's terminal error ends the claim with its status, after the other checks",
    "lies": "checks see the claim as it was sent, whatever the model says",
    "bounded turns": "a model that always asks for tools is stopped",
    "odd answers": "no answer of a model's server makes a claim hang",
    "model faults": "a model that fails is asked again, and at last ends the claim",
    "sessions": "a session keeps its turns, and each user's apart",
}
"""The names of the promises, and their meanings."""

OUTCOMES = {"passed": "passed", "failed": "failed", "error": "failed"}
"""The outcome of a report, by pytest's name. A skipped case does not count."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """The option of the suite."""
    parser.addoption("--json", metavar="FILE", help="write the outcome of each case of the conformance suite")


def case(item: pytest.Item) -> str:
    """The name of an item without its framework, which all frameworks share."""
    params: dict[str, Any] = item.callspec.params if hasattr(item, "callspec") else {}
    if "framework" not in params:
        return item.name
    framework = params["framework"].name
    return item.name.replace(f"-{framework}", "").replace(f"{framework}-", "").replace(f"[{framework}]", "")


def mark(item: pytest.Item) -> None:
    """Attach a case's promise and name to its report."""
    if marker := item.get_closest_marker("promise"):
        item.user_properties += [("promise", marker.args[0]), ("case", case(item))]


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Show the promises if one agent is graded, and write the file."""
    cases = list(_cases(terminalreporter.stats))
    if not cases:
        return
    if file := config.getoption("--json", None):
        graded = {"agent": os.environ.get("TOUR_AGENT"), "cases": cases}
        Path(file).write_text(json.dumps(graded, indent=1, ensure_ascii=False) + "\n")
    if agent := os.environ.get("TOUR_AGENT"):
        terminalreporter.section(f"The promises that {agent} keeps")
        for promise in PROMISES:
            of = [case["outcome"] for case in cases if case["promise"] == promise]
            if of:
                terminalreporter.write_line(f"{promise:16} {of.count('passed'):3} of {len(of):3} cases")


def _cases(stats: dict[str, list[Any]]) -> Iterator[dict[str, Any]]:
    for outcome, counted in OUTCOMES.items():
        for report in stats.get(outcome, ()):
            told = dict(getattr(report, "user_properties", ()))
            if "promise" in told:
                crash = getattr(report.longrepr, "reprcrash", None)
                yield {
                    "promise": told["promise"],
                    "case": told["case"],
                    "outcome": counted,
                    "seconds": round(report.duration, 2),
                    "error": crash.message.splitlines()[0][:200] if crash else None,
                }
