"""How the tests start programs, and which tests are left out if optional packages are missing."""

import functools
import gc
import importlib.util
import itertools
import os
import shutil
import ssl
import tempfile
from collections import defaultdict
from collections.abc import Generator
from datetime import date
from operator import itemgetter
from typing import Any

import pytest

from tests import forking, nightly, scheduling

NEEDS = {
    "bench/test_bench.py": "dbos",
    "bench/test_peers.py": "dbos",
    "deploy/test_cluster.py": "envoy",
    "deploy/test_deploy.py": "kubernetes_validate",
    "tracing/test_traces.py": "rotel",
}
collect_ignore = (
    [] if os.environ.get("CI") else [file for file, package in NEEDS.items() if not importlib.util.find_spec(package)]
)


def pytest_report_header() -> str | None:
    return f"{', '.join(collect_ignore)} left out: run `uv run --all-groups pytest`" if collect_ignore else None


def pytest_configure(config: pytest.Config) -> None:
    if "TOUR_AGENT" in os.environ:  # an agent is graded by all cases
        config.option.markexpr = config.option.markexpr.replace("not nightly", "")
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each program that starts would compile all that it imports
    os.environ.setdefault(nightly.DAY, date.today().isoformat())
    # Every HTTP client loads the authorities' certificates, for 20 to 60 ms of CPU.
    ssl.create_default_context = functools.cache(ssl.create_default_context)  # type: ignore[assignment]
    if not hasattr(config, "workerinput"):  # pytest-xdist's workers have it: they inherit the variable
        os.environ[forking.HOME] = tempfile.mkdtemp(prefix=f"{os.getpid()}-")


def pytest_unconfigure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ.pop(forking.HOME))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test as quick, unless it starts a server, is long, or is for the night."""
    nightly.leave_to_the_night(items, nightly.today())
    for item in items:
        if not any(map(item.get_closest_marker, (*nightly.SLOW, "nightly"))):
            item.add_marker("quick")
    items.sort(key=lambda item: scheduling.rank(item.nodeid.partition("::")[0]))


def pytest_collection_finish() -> None:
    """Let no collection of garbage go through all that was imported, as pytest does at its end."""
    gc.freeze()


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Show the slowest files: the suite has to stay within minutes."""
    seconds = defaultdict[str, float](float)
    for report in itertools.chain.from_iterable(terminalreporter.stats.values()):
        if isinstance(report, pytest.TestReport):
            seconds[report.nodeid.partition("::")[0]] += report.duration
    if seconds:
        terminalreporter.section("slowest files")
    for file, took in sorted(seconds.items(), key=itemgetter(1), reverse=True)[:10]:
        terminalreporter.write_line(f"{took:7.1f} s {file}")


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """More workers than cores, because many tests mostly wait."""
    return (os.cpu_count() or 1) * 2


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> object:
    return scheduling.ByStack(config, log)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Generator[None, bool, bool]:
    """Fork programs, except in tests about their start."""
    if item.get_closest_marker("real_starts"):
        return (yield)
    with forking.forking():
        return (yield)
