"""Which tests run in one process after the other, and which beside each other (pytest-xdist)."""

import pytest

USUAL_PORTS = ("tests/browser/", "tests/e2e/test_tour.py", "tests/e2e/test_restate_server.py")
"""They run `tour`, which takes Restate's usual ports when they are free: not two at the same time."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        path = item.nodeid.partition("::")[0]
        group = "usual ports" if path.startswith(USUAL_PORTS) else path
        item.add_marker(pytest.mark.xdist_group(group))
