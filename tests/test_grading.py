"""The suite grades an agent with many failures, and reaches its end."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conformance import cases
from tests.conformance.documented import grades
from tour.runtime.frameworks import FAN_OUT, FRAMEWORKS, ROOT, Framework

CASES = "live and not provider and (a_refusal or wrong_path or the_checks_run_in_parallel or no_body)"


@pytest.mark.server
def test_an_agent_is_graded_by_promise(tmp_path: Path) -> None:
    """The documented pattern: Restate retries a request without a body forever, and the case runs into its limit."""
    agent = "restate_loop=restate_loop/twins/documented_agent.py"
    command = [sys.executable, "-m", "pytest", "tests/conformance", "-n", "0", "-k", CASES, "-p", "no:cacheprovider"]
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    done = subprocess.run(
        [*command, "--json", str(tmp_path / "grade.json")],
        cwd=ROOT,
        env=environment | {"TOUR_AGENT": agent},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    grade = json.loads((tmp_path / "grade.json").read_text())
    outcomes = {case["case"]: case["outcome"] for case in grade["cases"]}
    assert grade["agent"] == agent
    assert outcomes == {
        "test_the_checks_run_in_parallel[live]": "passed",
        "test_a_wrong_path_is_a_client_error[live]": "passed",
        "test_no_body_at_all_is_the_callers_fault[live]": "failed",
        "test_a_refusal[live]": "failed",
    }, done.stdout
    assert "bad input          1 of   2 cases" in done.stdout


def test_the_tours_agents_pass_every_case_that_was_graded() -> None:
    for kinds in grades()["agents"].values():
        assert {promise for promise, cases in kinds["tour"].items() if any(cases.values())} == set()


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda framework: framework.name)
def test_an_agent_of_the_tour_is_graded_once_by_its_name(framework: Framework) -> None:
    assert cases._under_test(framework.name) == ([framework], FAN_OUT)
