"""The versions that `durable` was tested with: others are refused at import, and `pyproject.toml` rules them out."""

import ast
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.version import Version

from durable.versions import require_versions

ROOT = Path(__file__).parent.parent.parent


def required() -> dict[str, str]:
    """How the versions begin that the modules of `durable` ask for, by package."""
    calls = (
        node
        for path in (ROOT / "durable").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "require_versions"
    )
    return {
        str(given.arg).replace("_", "-"): str(ast.literal_eval(given.value))
        for call in calls
        for given in call.keywords
    }


def test_another_version_than_the_tested_ones_is_refused_at_import() -> None:
    require_versions(restate_sdk="1.3")
    with pytest.raises(ImportError, match="restate-sdk"):
        require_versions(restate_sdk="0.9")


@pytest.mark.parametrize(("package", "begins"), sorted(required().items()))
def test_the_project_allows_the_tested_versions_and_no_others(package: str, begins: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    [allowed] = [r.specifier for r in map(Requirement, project["dependencies"]) if r.name == package]
    *above, last = map(int, begins.rstrip(".").split("."))
    after = Version(".".join(map(str, [*above, last + 1])))
    assert allowed.contains(f"{begins.rstrip('.')}.999") or begins.count(".") == 2, "a later patch is allowed"
    assert not allowed.contains(after)
    assert not allowed.contains(f"{'.'.join(map(str, [*above, last - 1]))}.999")
