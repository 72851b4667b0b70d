"""The tests that a day's run leaves to the night (marker `nightly`), and those that it takes in turn, by the date.

`uv run pytest` leaves out marked tests; `-m nightly` runs only them, and `-m ''` runs everything.
"""

import os
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import TypeVar

import pytest

from tests.proof.seeded import FAULTS

HERE = Path(__file__).parent

DAY = "TEST_DAY"
"""The variable with the day of the run, such as 2026-11-28: the same for all workers, even at midnight."""

FILES_IN_TURN = (
    (
        "bench/test_peers.py",
        "choice/test_features.py",
        "deploy/test_cluster.py",
        "deploy/test_deploy.py",
        "deploy/test_specialist_services.py",
        "tracing/test_traces.py",
    ),
    ("conformance/test_approval.py", "conformance/test_specialists.py", "conformance/test_streaming.py"),
    ("conformance/test_long_session.py", "plain/test_outcomes.py", "proof/million/test_million.py"),
    ("plain/test_compatible_servers.py", "tour/test_upgrade.py"),
    ("durable/test_package.py", "test_grading.py", "tour/test_judge.py", "tour/test_new.py"),
    (
        "faults/test_connection.py",
        "faults/test_draining.py",
        "faults/test_frozen_agent.py",
        "faults/test_stopped_agent.py",
        "faults/test_two_faults.py",
        "typescript/test_watchdog.py",
    ),
    (
        "shared/test_entrypoints.py",
        "shared/test_variables.py",
        "tour/test_chaos_live.py",
        "tour/test_kept_claims.py",
        "tour/test_named.py",
        "tour/test_node.py",
        "tour/test_signs.py",
        "tour/test_up.py",
    ),
    (
        "typescript/test_entrypoints.py",
        "typescript/test_model_calls.py",
        "typescript/test_network.py",
        "typescript/test_remote_checks.py",
    ),
)
"""Files whose slow tests a day runs for one of each group."""

SLOW = ("server", "long")
"""The marks of tests that take seconds."""

T = TypeVar("T")


def movable(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The tests that a day may leave to the night: not those that find a seeded fault."""
    finders = {fault.tests for fault in FAULTS}
    return [item for item in items if item.nodeid not in finders]


def today() -> int:
    """The number of the day."""
    return date.fromisoformat(os.environ.get(DAY) or date.today().isoformat()).toordinal()


def by_night(values: Iterable[object]) -> list[object]:
    """These values of a parameter, only for the night."""
    return [pytest.param(value, marks=pytest.mark.nightly) for value in values]


def in_turn(values: Sequence[T], a_day: int, day: int) -> list[T]:
    """The items whose turn it is. The next day continues behind them, and starts over at the end."""
    return [values[(day * a_day + at) % len(values)] for at in range(min(a_day, len(values)))]


def leave_to_the_night(items: Iterable[pytest.Item], day: int) -> None:
    """Leave to the night the tests with the mark `in_turn(a_day)`, and the slow ones of files, whose turn it is not."""
    left = {HERE / file for group in FILES_IN_TURN for file in {*group} - {*in_turn(group, 1, day)}}
    groups = defaultdict[tuple[Path, int], list[pytest.Item]](list)
    for item in movable(items):
        if mark := item.get_closest_marker("in_turn"):
            groups[item.path, *mark.args].append(item)
        if item.path in left and any(map(item.get_closest_marker, SLOW)):
            item.add_marker(pytest.mark.nightly)
    for (_, a_day), group in groups.items():
        for item in {*group} - {*in_turn(group, a_day, day)}:
            item.add_marker(pytest.mark.nightly)


def some(points: range) -> list[object]:
    """These points of a journal. A day takes one of them, in turn."""
    chosen = points[today() % len(points)]
    return [chosen, *by_night(point for point in points if point != chosen)]


def selected(request: pytest.FixtureRequest, *names: str) -> set[tuple[object, ...]]:
    """The values of these parameters in a file's selected tests, which its fixtures have to start or send."""
    run = [getattr(item, "callspec", None) for item in request.session.items if item.path == request.path]
    return {tuple(call.params[name] for name in names) for call in run if call and {*names} <= {*call.params}}
