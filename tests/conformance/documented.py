"""Grade two agents on each SDK: the documented pattern, and the agent of the tour.

uv run python -m tests.conformance.documented             # all; half an hour, on an idle machine
uv run python -m tests.conformance.documented google_adk  # one framework

The outcomes go into docs/conformance.json; tests/docs/figures.py makes the table of docs/verification.md from them.
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from tests.conformance.grading import PROMISES
from tour.report import versions
from tour.runtime.frameworks import FRAMEWORKS, ROOT

OUTCOMES = ROOT / "docs/conformance.json"
KINDS = {"documented": "{0}/twins/documented_agent.py", "tour": "{0}/parallel_tools_agent.py"}

Graded = dict[str, dict[str, str | None]]
"""The error by promise and case; None for a case that passes."""


def grades() -> dict[str, Any]:
    """The file: `versions` of the packages, and `agents`: by framework and kind a `Graded`."""
    written: dict[str, Any] = json.loads(OUTCOMES.read_text())
    return written


def promises_kept() -> dict[str, list[tuple[int, int]]]:
    """By promise and framework: how many cases the documented pattern passes, and of how many."""
    agents = grades()["agents"].values()
    kept: dict[str, list[tuple[int, int]]] = {
        promise: [] for promise in PROMISES if any(promise in of["tour"] for of in agents)
    }
    for promise, cells in kept.items():
        for kinds in agents:
            cases = list(kinds["documented"].get(promise, {}).values())
            cells.append((cases.count(None), len(cases)))
    return kept


def grade(agent: str) -> Graded:
    """The outcomes of the live cases on `NAME=FILE`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "grade.json"
        command = [sys.executable, "-m", "pytest", "tests/conformance", "-k", "live", "--quiet", "--json", str(file)]
        command += ["-n", "6", "--maxprocesses", "6"]  # agents that hang leave the cores idle
        subprocess.run(command, cwd=ROOT, env=os.environ | {"TOUR_AGENT": agent}, check=False)
        cases = json.loads(file.read_text())["cases"]
    graded: Graded = {promise: {} for promise in PROMISES if promise in {case["promise"] for case in cases}}
    for case in sorted(cases, key=lambda case: case["case"]):
        failed = case["outcome"] == "failed"
        graded[case["promise"]][case["case"]] = (case["error"] or "no answer") if failed else None
    return graded


def main() -> None:
    """Grade, and write the file after each framework."""
    for framework in FRAMEWORKS:
        if framework.name in sys.argv[1:] or not sys.argv[1:]:
            graded = {kind: grade(f"{framework.name}={file.format(framework.name)}") for kind, file in KINDS.items()}
            agents = grades()["agents"] | {framework.name: graded}
            agents = {each.name: agents[each.name] for each in FRAMEWORKS if each.name in agents}
            written = {"versions": versions(), "agents": agents}
            OUTCOMES.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
