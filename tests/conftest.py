"""What needs packages that the tour does without is left out where they are missing, with a line that says so."""

import importlib.util
import os

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
