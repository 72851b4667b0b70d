"""Which cases of the suite a day's run has; the night has all of them.

Each case of a function is a row, and each framework a column. A day takes two columns of each row, and the next day
goes on behind them: within a week, each case meets each framework, on both servers.
"""

from collections import defaultdict
from collections.abc import Iterable

import pytest

from tests.conformance import grading
from tests.nightly import in_turn


def leave_to_the_night(items: Iterable[pytest.Item], day: int) -> None:
    """Mark the items that this day does without.

    On the server as it comes, a function with one case runs on all frameworks; all other cases run on two.
    """
    rows: dict[tuple[str, object], dict[str, list[pytest.Item]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        if "framework" in params and not item.get_closest_marker("nightly"):
            function, server = item.nodeid.partition("[")[0], params.get("running") or params.get("programs")
            rows[function, server][grading.case(item)].append(item)
    for (_, server), cases in rows.items():
        if server == "replaying" or len(cases) > 1:
            for row, columns in enumerate(cases.values()):
                for item in {*columns} - {*in_turn(columns, day + row)}:
                    item.add_marker(pytest.mark.nightly)
