"""Grade ten agents: of each SDK the one of the tour, and the pattern as the documentation has it.

uv run python -m tests.conformance.page              # runs the live cases on each: it takes an hour
uv run python -m tests.conformance.page --from-file  # only writes docs/conformance.md again
"""

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import jinja2

from tests.conformance.grading import PROMISES
from tour.report import CONFORMANCE, promises_kept, versions
from tour.runtime.frameworks import FRAMEWORKS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/conformance.md"
KINDS = {"documented": "tests/conformance/reference/{0}_reference.py", "tour": "{0}/parallel_tools_agent.py"}


def grade(agent: str) -> list[dict[str, Any]]:
    """The outcomes of the live cases on `NAME=FILE`."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "grade.json"
        command = [sys.executable, "-m", "pytest", "tests/conformance", "-k", "live", "--quiet", "--json", str(file)]
        command += ["-n", "6", "--maxprocesses", "6"]  # agents that hang leave the cores idle
        subprocess.run(command, cwd=ROOT, env=os.environ | {"TOUR_AGENT": agent}, check=False)
        cases: list[dict[str, Any]] = json.loads(file.read_text())["cases"]
        return sorted(cases, key=lambda case: (PROMISES.index(case["promise"]), case["case"]))


def page(grades: dict[str, Any]) -> str:
    """The page: a table of the promises, and of each promise the cases that not all agents pass."""
    titles = {framework.name: framework.title for framework in FRAMEWORKS}
    fails: dict[tuple[str, str], list[str]] = {}
    for name, kinds in grades["agents"].items():
        for kind, cases in kinds.items():
            for case in cases:
                if case["outcome"] == "failed":
                    error = " ".join((case["error"] or "no answer").replace("|", "\\|").split())[:80]
                    by = f"{titles[name]}, {kind}: `{error}`"
                    fails.setdefault((case["promise"], case["case"]), []).append(by)
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    text = Path(__file__).with_name("page.md").read_text()
    return template.from_string(text).render(
        grades=grades, titles=titles, promises=PROMISES, kept=promises_kept(), fails=fails
    )


def main() -> None:
    """Write the file and the page."""
    if "--from-file" not in sys.argv:
        agents = {
            name: {kind: grade(f"{name}={file.format(name)}") for kind, file in KINDS.items()}
            for name in (framework.name for framework in FRAMEWORKS)
        }
        CONFORMANCE.write_text(
            json.dumps({"versions": versions(), "agents": agents}, indent=1, ensure_ascii=False) + "\n"
        )
    PAGE.write_text(page(json.loads(CONFORMANCE.read_text())))


if __name__ == "__main__":
    main()
