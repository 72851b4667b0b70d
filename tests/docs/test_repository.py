"""The files for contributors are valid: the workflow, Dependabot, and the forms."""

import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tour.runtime.frameworks import ROOT

GITHUB = ROOT / ".github"


@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("github-workflows", "workflows/ci.yml"),
        ("github-workflows", "workflows/nightly.yml"),
        ("dependabot", "dependabot.yml"),
    ],
)
def test_it_follows_its_schema(schema: str, file: str) -> None:
    command: list[str | Path] = [
        sys.executable,
        "-m",
        "check_jsonschema",
        "--builtin-schema",
        f"vendor.{schema}",
        GITHUB / file,
    ]
    checked = subprocess.run(command, capture_output=True, text=True)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_workflow_runs_what_decides_whether_a_change_lands_on_every_python() -> None:
    workflow = yaml.safe_load((GITHUB / "workflows" / "ci.yml").read_text())
    job = workflow["jobs"]["ci"]
    assert job["strategy"]["matrix"]["python"] == ["3.11", "3.12", "3.13", "3.14"]
    assert any(".ci/run" in step.get("run", "") for step in job["steps"])


@pytest.mark.parametrize("form", sorted((GITHUB / "ISSUE_TEMPLATE").glob("*.yml")), ids=lambda form: form.name)
def test_a_form_asks_for_something(form: Path) -> None:
    asked = yaml.safe_load(form.read_text())
    assert asked["name"]
    assert asked["description"]
    assert any(field.get("validations", {}).get("required") for field in asked["body"])
