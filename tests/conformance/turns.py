"""The cases of the suite in a day's run; the night runs all of them.

Each case of a function is a row, and each framework a column. A day takes two columns of each row on the default
server, and one on the replaying server, and the next day takes the next ones: within a week, each case runs on each
framework, on both servers.
"""

from collections import defaultdict
from collections.abc import Iterable

import pytest

from tests.conformance import grading
from tests.nightly import in_turn


def leave_to_the_night(items: Iterable[pytest.Item], day: int) -> None:
    """Mark the items that this day leaves out.

    On the default server, a function with one case, or with the mark `everywhere`, runs on all frameworks. All other
    cases run on two frameworks; `costly` ones, on our own loop and one other. On the replaying server, each case runs
    on one.
    """
    rows: dict[tuple[str, object], dict[str, list[pytest.Item]]] = defaultdict(lambda: defaultdict(list))
    for item in items:
        params = item.callspec.params if hasattr(item, "callspec") else {}
        if "framework" in params and not item.get_closest_marker("nightly"):
            function, server = item.nodeid.partition("[")[0], params.get("running") or params.get("programs")
            rows[function, server][grading.case(item)].append(item)
    for (_, server), cases in rows.items():
        for row, columns in enumerate(cases.values()):
            costly = columns[0].get_closest_marker("costly")
            everywhere = columns[0].get_closest_marker("everywhere") or (len(cases) == 1 and not costly)
            if server == "replaying" or not everywhere:
                always = [item for item in columns if costly and "restate_loop" in item.name]
                others = [item for item in columns if item not in always]
                a_day = 1 if costly or server == "replaying" else 2
                for item in {*others} - {*in_turn(others, a_day, day + row)}:
                    item.add_marker(pytest.mark.nightly)
