"""No cell of the matrix in docs/comparison.md is without evidence."""

import re

from tests.choice.matrix import MATRIX, PAGE, read
from tests.choice.test_features import PROBES
from tour.runtime.frameworks import FRAMEWORKS, ROOT, STREAMING, TOOL_CALLS, Framework

WITH_DURABLE = "with `durable/`"


def streaming(framework: Framework) -> str:
    return WITH_DURABLE if framework.script(STREAMING).exists() else "no"


def parallel(framework: Framework) -> str:
    return WITH_DURABLE if framework.script(TOOL_CALLS).exists() else "no"


def tracing(framework: Framework) -> str:
    return "no: steps alone" if framework.on_node else "yes" if (framework.home / "spans.py").exists() else "no"


ELSEWHERE = {
    "streaming": (streaming, "test_it_tells_what_the_journal_has"),
    "true parallel tool calls": (parallel, "test_steps_gathers_selects_timers_and_calls"),
    "tracing": (tracing, "test_one_trace_per_claim"),
}
"""Rows that older tests see, on each framework that has the agent: what a cell says, and a test of the linked file."""


def test_each_cell_has_its_evidence() -> None:
    """A row is seen by `test_features.py`, or by the test to which it links; and every framework has a cell."""
    assert {*MATRIX} == {*PROBES, *ELSEWHERE}
    assert all([*row] == [framework.name for framework in FRAMEWORKS] for row in MATRIX.values())
    for feature, (says, test) in ELSEWHERE.items():
        assert MATRIX[feature] == {framework.name: says(framework) for framework in FRAMEWORKS}
        [file] = re.findall(rf"^\| \[{feature}\]\(\.\./([^)]+)\) \|", PAGE.read_text(), re.MULTILINE)
        assert f"def {test}(" in (ROOT / file).read_text()


def test_each_program_is_linked() -> None:
    """At the head of its column."""
    page = PAGE.read_text()
    for framework in FRAMEWORKS:
        script = framework.home.relative_to(ROOT) / f"twins/features.{'ts' if framework.on_node else 'py'}"
        assert (ROOT / script).exists()
        assert f"| [{framework.title}](../{script}) |" in page


def test_a_cell_that_is_left_out_is_missed() -> None:
    page = PAGE.read_text()
    [row] = [line for line in page.splitlines() if line.startswith("| sessions |")]
    assert "sessions" not in read(page.replace(row, ""))
