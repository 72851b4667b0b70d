"""Which worker of pytest-xdist runs what: tests that share a stack stay together, and the longest come first."""

from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

LONGEST = (
    "tests/conformance/test_model.py",  # it waits a lot, and the pages compute a lot: side by side, both are quick
    "tests/docs/test_pages.py",
    "tests/bench/test_bench.py",
    "tests/browser/test_web.py",
    "tests/proof/million/test_million.py",
    "tests/conformance/test_promise.py",
    "tests/conformance/test_specialists.py",
    "tests/conformance/test_approval.py",
    "tests/conformance/test_approval_crashes.py",
    "tests/conformance/test_parallel_tool_calls.py",
    "tests/conformance/test_claims.py",
    "tests/bench/test_peers.py",
    "tests/deploy/test_cluster.py",
    "tests/tour/test_tour.py",
    "tests/tracing/test_traces.py",
    "tests/durable/test_tool_calls.py",
    "tests/durable/test_held_steps.py",
    "tests/proof/test_exhaustive.py",
    "tests/journals/test_journals.py",
    "tests/faults/test_connection.py",
    "tests/sessions/test_sessions_under_kills.py",
    "tests/shared/test_entrypoints.py",
    "tests/workshop/test_checks.py",
)
"""The files that take longest, in this order; a worker that begins with one of them at the end keeps all waiting."""


ONE_STACK = {
    f"tests/conformance/test_{name}.py" for name in ("claims", "field_reports", "model", "promise", "sessions")
}
"""The files whose cases on the server that replays are few in a day: they share its stack."""


class ByStack(LoadScopeScheduling):  # type: ignore[misc]
    """Hands out a file at a time; of the pages a reader, of the conformance suite the cases on one of its servers."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, case = nodeid.partition("::")
        if file == "tests/docs/test_pages.py":
            return nodeid
        if file.startswith("tests/conformance/"):
            if self.config.option.markexpr == "quick":
                return "conformance"  # they are few: one stack
            server = "replaying" if "replaying" in case else "live"
            return server if file in ONE_STACK and server == "replaying" else f"{file} {server}"
        return file


def rank(file: str) -> int:
    """The place of a file in the order."""
    return LONGEST.index(file) if file in LONGEST else len(LONGEST)
