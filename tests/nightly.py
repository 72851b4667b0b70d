"""What a run by day leaves to the night: cases of the conformance suite that differ little from those that it runs.

A day runs each case on the live server on every framework, and on the one that replays on two frameworks, in turn. Of a
case with two parameters or more, each value of one meets one value of the other. `-m ''` runs all of them.
"""

import datetime
import os
import zlib
from collections import defaultdict

import pytest

DAY = "TOUR_TESTS_DAY"
"""The number of the day, the same in all workers: `pytest_configure` sets it."""

FRAMEWORKS_A_DAY = 2

SERVERS = ("running", "programs")
"""The parameters that name a server."""


def set_day() -> None:
    """Settle which day this is."""
    os.environ.setdefault(DAY, str(datetime.date.today().toordinal()))


def mark(items: list[pytest.Item], frameworks: int) -> None:
    """Mark the cases that are left to the night; there are so many frameworks."""
    cases = [item for item in items if isinstance(item, pytest.Function) and hasattr(item, "callspec")]
    sizes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for item in cases:
        for name, index in item.callspec.indices.items():
            size = sizes[item.nodeid.partition("[")[0]]
            size[name] = max(size[name], index + 1)
    for item in cases:
        if _is_left(item, sizes[item.nodeid.partition("[")[0]], frameworks):
            item.add_marker("nightly")


def _is_left(item: pytest.Function, sizes: dict[str, int], frameworks: int) -> bool:
    indices, values = item.callspec.indices, item.callspec.params
    if "framework" not in indices:
        return False
    others = sorted(name for name in indices if name not in ("framework", *SERVERS) and sizes[name] > 1)
    case = zlib.crc32(f"{item.originalname} {[indices[name] for name in others]}".encode())
    turn = indices["framework"] + int(os.environ[DAY])
    if "replaying" in [values.get(server) for server in SERVERS]:
        return (turn + case) % frameworks >= FRAMEWORKS_A_DAY
    if len(others) < 2:
        return False
    least = min(sizes[name] for name in others)
    return (sum(indices[name] for name in others) + turn) % least != 0
