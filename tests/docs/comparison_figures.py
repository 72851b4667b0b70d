"""The figures of docs/comparison.md from docs/comparison.json and docs/conformance.json."""

from collections.abc import Callable
from functools import cache, partial
from operator import attrgetter

from bench.findings import FILE, Finding, Findings
from bench.run import Bench
from bench.tokens import prices
from tests.conformance import documented
from tests.conformance.grading import PROMISES
from tests.docs.words import span, table, where, with_versions


@cache
def _findings() -> Findings:
    return Findings.model_validate_json(FILE.read_bytes())


def _tokens(_: Bench) -> str:
    listed = prices()
    models = ", ".join(listed.models)
    columns = ("tokens in + out", f"USD for 1,000 claims: {models}", f"the last call again: {models}")
    rows = []
    for each in _findings().frameworks:
        tokens = each.tokens
        dollars, again = (
            ", ".join(f"{of(price):.2f}" for price in listed.models.values()) for of in (tokens.dollars, tokens.again)
        )
        rows.append((each.title, f"{tokens.read} + {tokens.written}", dollars, again))
    return f"{table('framework', columns, rows)}\n\nThe prices are those of {listed.on}."


def _made() -> str:
    found = _findings()
    return (
        f"Made {found.made} on {where(found.machine)}, with {found.model} and\n"
        f"checks slowed down by {found.step_latency:g} s. {with_versions(found.versions)}"
    )


def _footprint(_: Bench) -> str:
    columns = ("added", "journal", "lines", "helpers", "installed", "start")
    rows = [
        (
            each.title,
            f"{each.added:.2f} s",
            f"{each.journal / 1000:.1f} kB",
            each.lines,
            each.helpers,
            f"{each.footprint.size / 1e6:.0f} MB",
            f"{each.footprint.start:.2f} s",
        )
        for each in _findings().frameworks
    ]
    return f"{_made()}\n\n{table('framework', columns, rows)}"


def _lightest() -> Finding:
    return min(_findings().frameworks, key=attrgetter("journal"))


def _heaviest(_: Bench) -> str:
    heaviest, lightest = max(_findings().frameworks, key=attrgetter("journal")), _lightest()
    return f"{heaviest.title} writes {heaviest.journal / lightest.journal:.0f} times the journal of {lightest.title}"


def _kept(promise: str, _: Bench) -> str:
    """How many cases the documented pattern passes on the SDKs, such as `3 to 16 of 16`."""
    kept = documented.promises_kept()[promise]
    return f"{span([passed for passed, cases in kept if cases])} of {max(cases for _, cases in kept)}"


FIGURES: dict[str, Callable[[Bench], str]] = {
    "tokens": _tokens,
    "footprint": _footprint,
    "fewest tokens": lambda _: min(_findings().frameworks, key=lambda each: each.tokens.read).title,
    "smallest journal": lambda _: _lightest().title,
    "largest journal": _heaviest,
    "whole journal": lambda _: f"{_findings().whole_journal / 1000:.1f} kB",
    **{f"documented: {promise}": partial(_kept, promise) for promise in PROMISES},
}
