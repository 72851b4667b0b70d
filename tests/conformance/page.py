"""Grade of each SDK two agents: the one of the tour, and the pattern as the documentation has it.

uv run python -m tests.conformance.page            # all; half an hour, with nothing else on the machine
uv run python -m tests.conformance.page google_adk # those that are named; `none` only writes docs/conformance.md again
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
from tour.runtime.frameworks import FRAMEWORKS, ROOT

PAGE = ROOT / "docs/conformance.md"
KINDS = {"documented": "{0}/twins/documented_agent.py", "tour": "{0}/parallel_tools_agent.py"}

Graded = dict[str, dict[str, str | None]]
"""By promise and case the error, or None for a case that passes."""


def grades() -> dict[str, Any]:
    """The file: `versions` of the packages, and `agents`: by framework and kind a `Graded`."""
    written: dict[str, Any] = json.loads(CONFORMANCE.read_text())
    return written


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


def page(grades: dict[str, Any]) -> str:
    """The page: a table of the promises, and of each promise the cases that the documented pattern does not pass."""
    documented = {name: kinds["documented"] for name, kinds in grades["agents"].items()}
    fails: dict[str, dict[str, dict[str, str]]] = {promise: {} for promise in PROMISES}
    for name, graded in documented.items():
        for promise, cases in graded.items():
            for case, error in cases.items():
                if error is not None:
                    shown = case.replace("[live]", "").replace("[live-", "[").replace("-live]", "]")
                    fails[promise].setdefault(shown, {})[name] = " ".join(error.replace("|", "\\|").split())[:60]
    template = jinja2.Environment(trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    text = Path(__file__).with_name("page.md").read_text()
    titles = [framework.title for framework in FRAMEWORKS if framework.name in documented]
    return template.from_string(text).render(
        grades=grades, titles=titles, names=list(documented), promises=PROMISES, kept=promises_kept(), fails=fails
    )


def main() -> None:
    """Grade, and write the file after each framework, and the page."""
    for framework in FRAMEWORKS:
        if framework.name in sys.argv[1:] or not sys.argv[1:]:
            graded = {kind: grade(f"{framework.name}={file.format(framework.name)}") for kind, file in KINDS.items()}
            agents = grades()["agents"] | {framework.name: graded}
            agents = {each.name: agents[each.name] for each in FRAMEWORKS if each.name in agents}
            written = {"versions": versions(), "agents": agents}
            CONFORMANCE.write_text(json.dumps(written, indent=1, ensure_ascii=False) + "\n")
    PAGE.write_text(page(grades()))


if __name__ == "__main__":
    main()
