"""The repository stays in order: imports only go down, no file is long, and each package has a description."""

import ast
import re
import subprocess
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from tour.runtime.frameworks import FRAMEWORKS, PYTHON, ROOT, Framework

AGENTS = [framework.name for framework in PYTHON]


def folder_of(module: str) -> str:
    """The folder whose row says what a module may import."""
    return "twins" if ".twins" in module else module.partition(".")[0]


def _table() -> dict[str, set[str]]:
    page = (ROOT / "docs" / "architecture.md").read_text().partition("| folder | imports |")[2].partition("\n\n")[0]
    rows = re.findall(r"^\| `([^`]+)`.* \| (.+) \|$", page, re.MULTILINE)
    below = {folder: set(re.findall(r"`(\w+)`", imports)) for folder, imports in rows if folder != "tests"}
    below |= dict.fromkeys(AGENTS, below.pop("<sdk>"))
    return below | {"twins": below["twins"] | {*AGENTS}}


BELOW = _table()
"""The folders that each folder may import: those below it in the page's table."""

LONGEST = 400
"""The most lines of a handwritten file."""

FILES = [
    ROOT / line
    for line in subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True
    ).stdout.splitlines()
]
MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in FILES
    if path.suffix == ".py" and path.relative_to(ROOT).parts[0] in BELOW and path.exists()
}


def imported(path: Path) -> set[str]:
    """The modules of the project that a file imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= names & MODULES.keys() or {node.module}
    return found & MODULES.keys()


@pytest.mark.parametrize("folder", BELOW)
def test_a_folder_imports_only_those_below_it(folder: str) -> None:
    upwards = {
        f"{module} imports {other}"
        for module, path in MODULES.items()
        if folder_of(module) == folder
        for other in imported(path)
        if folder_of(other) not in BELOW[folder] | {folder}
    }
    assert upwards == set()


def test_the_table_has_each_folder_and_nothing_that_is_not_imported() -> None:
    packages = {path.parent.name for path in ROOT.glob("*/__init__.py")} - {"tests"}
    assert BELOW.keys() == packages | {"twins"}
    for folder, below in BELOW.items():
        found = {
            folder_of(other) for name, path in MODULES.items() if folder_of(name) == folder for other in imported(path)
        }
        assert below <= found or folder in (*AGENTS, "twins"), f"{folder} does not import {below - found}"


def test_no_two_modules_import_each_other() -> None:
    TopologicalSorter({module: imported(path) - {module} for module, path in MODULES.items()}).prepare()
    TopologicalSorter({folder: below - {"tests"} for folder, below in BELOW.items()}).prepare()


def test_a_durable_module_imports_one_agent_sdk_at_most() -> None:
    sdks = {"agents", "google", "pydantic_ai", "langchain", "langchain_core", "langgraph"}
    for path in (ROOT / "durable").rglob("*.py"):
        roots = set(re.findall(r"^\s*(?:from|import) (\w+)", path.read_text(), re.MULTILINE))
        assert len({"langchain" if sdk.startswith("lang") else sdk for sdk in roots & sdks}) <= 1, path


def test_no_file_is_long() -> None:
    written = {".py", ".md", ".html", ".css", ".yaml", ".toml", ".ts", ""}
    generated = {ROOT / "workshop" / "slides.html"}
    lines = {
        path.relative_to(ROOT).as_posix(): len(path.read_text().splitlines())
        for path in FILES
        if path.suffix in written and path.exists() and path not in generated
    }
    assert {file: count for file, count in lines.items() if count > LONGEST} == {}


@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda framework: framework.name)
def test_a_framework_s_folder_is_read_in_one_go(framework: Framework) -> None:
    files = [path.name for path in FILES if path.parent == framework.home and path.exists()]
    assert len([name for name in files if name != "__init__.py"]) <= 12, files


def test_each_package_says_what_lives_there() -> None:
    for module, path in MODULES.items():
        if path.name == "__init__.py" and not module.startswith("workshop.ch"):  # a chapter has a page
            said = ast.get_docstring(ast.parse(path.read_text())) or ""
            assert said.endswith("."), f"{path} says nothing"
            assert "\n" not in said, f"{path} says it in one sentence"
