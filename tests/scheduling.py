"""The distribution of tests to pytest-xdist's workers: tests that share a stack stay together, the longest first."""

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

LONGEST = (
    "tests/conformance/test_claims.py",
    "tests/conformance/test_answers.py",
    "tests/browser/test_web.py",
    "tests/conformance/test_parallel_tool_calls.py",
    "tests/plain/test_requests.py",
    "tests/tour/test_judge.py",
    "tests/docs/test_pages.py",  # by now, there are zygotes for its agents (tests/forking.py)
    "tests/deploy/test_cluster.py",
    "tests/tour/test_tour.py",
    "tests/conformance/test_specialists.py",
    "tests/conformance/test_approval.py",
    "tests/conformance/test_approval_crashes.py",
    "tests/durable/test_tool_calls.py",
    "tests/durable/test_held_steps.py",
    "tests/proof/million/test_million.py",
    "tests/journals/test_journals.py",
    "tests/sessions/test_sessions_under_kills.py",
    "tests/shared/test_entrypoints.py",
    "tests/workshop/test_checks.py",
)
"""The slowest files, in this order: a worker that begins one of them at the end keeps all others waiting."""

ONE_STACK = {
    "tests/conformance/test_answers.py": "A",
    "tests/conformance/test_promise.py": "A",
    "tests/conformance/test_claims.py": "B",
    "tests/conformance/test_field_reports.py": "B",
    "tests/conformance/test_model.py": "B",
    "tests/conformance/test_sessions.py": "B",
}
"""The files that use the same agents, and those of them that share a stack on the default server."""


class ByStack(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out the tests of one stack at a time; for the pages, those of a reader; else those of a file."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, case = nodeid.partition("::")
        if file == "tests/docs/test_pages.py":
            return nodeid
        if file.startswith("tests/plain/test_") and not file.endswith("servers.py"):
            return "tests/plain"
        if file.startswith("tests/conformance/"):
            if self.config.option.markexpr == "quick":
                return "conformance"  # they are few: one stack
            replaying = "replaying" in case
            if stack := ONE_STACK.get(file):
                return "replaying" if replaying else f"live {stack}"
            return f"{file} {'replaying' if replaying else 'live'}"
        return file


def rank(file: str) -> int:
    """The place of a file in the order."""
    return LONGEST.index(file) if file in LONGEST else len(LONGEST)
