"""The measured figures of the pages, from the files that the runs wrote: no figure is typed.

uv run python -m tests.docs.figures    # writes the pages again
"""

import json
import re
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench import show
from bench.growth import STEP
from bench.measuring import agent_cpu_of, cpu, median, p50, server_cpu_of
from bench.run import Bench
from deploy import cost as deploy_cost
from deploy.cluster import NODES
from deploy.cost import Cost
from tour.runtime.frameworks import FAN_OUT, FRAMEWORKS, REMOTE_CHECKS, ROOT, Pattern
from tour.tables import FittedTable

DOCS = ROOT / "docs"
BLOCK = re.compile(r"(<!-- figures: ([\w-]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)
"""A part of a page that is made from a file, and its name in `FIGURES`."""


def markdown(table: FittedTable) -> str:
    """The table in Markdown, with its title above it."""
    rows = [table.headings, ["---"] * len(table.headings), *table.rows]
    lines = ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join([f"{table.title[:1].upper()}{table.title[1:]}:", "", *lines])


def benchmark() -> Bench:
    """The run of the benchmark that the pages show."""
    return Bench.model_validate_json((DOCS / "benchmark.json").read_bytes())


def _tables(tables: Iterable[FittedTable]) -> str:
    return "\n\n".join(map(markdown, tables))


def _bullets(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _made(bench: Bench) -> str:
    machine = bench.machine
    versions = ", ".join(f"{name} {version}" for name, version in bench.versions.items())
    return (
        f"The figures of a section are from one run, the first made {bench.made}, on {machine.system}, "
        f"{machine.cores} cores, {machine.memory_gib} GiB, Python {machine.python}.\nVersions: {versions}."
    )


def _span(values: Sequence[float], format: str = "{:.0f}") -> str:
    least, most = format.format(min(values)), format.format(max(values))
    return least if least == most else f"{least} to {most}"


def _durability(bench: Bench) -> Iterator[str]:
    alone = [cost for cost in bench.durability if cost.concurrency == 1]
    added = [median(cost.durable, p50) - median(cost.plain, p50) for cost in alone]
    yield f"Durability adds {_span(added)} ms to the median claim, which has five durable steps."
    changes = {
        cost.title: median(cost.as_it_comes, p50) / median(cost.durable, p50) for cost in alone if cost.as_it_comes
    }
    most = max(changes, key=lambda title: changes[title])
    yield (
        f"On the SDKs as they come, a claim takes {_span([*changes.values()], '{:.2f}')} "
        f"times as long. The most is {most}'s."
    )


def _pieces(bench: Bench) -> Iterator[str]:
    none, one, three = ([median(blocks, p50) for blocks in (of.synced, of.unsynced)] for of in bench.pieces)
    claim, unsynced = (none[at] + 2 * (one[at] - none[at]) + (three[at] - none[at]) for at in (0, 1))
    yield (
        f"A claim has two model calls, one after the other, and three checks in parallel between them: that is "
        f"{claim:.1f} ms by this table, of which {claim - unsynced:.1f} ms are waits for the disk."
    )


def _peers(bench: Bench) -> Iterator[str]:
    assert bench.peers
    for versus in bench.peers.versus:
        ratio = statistics.median(versus.ratios(p50))
        as_it_comes = statistics.median(versus.ratios_as_it_comes(p50))
        if min(ratio, as_it_comes) < 1.1:
            yield (
                f"With {versus.concurrency} at a time, {versus.title} takes {ratio:.2f} times as long as Restate, and "
                f"{as_it_comes:.2f} times as long as Restate on the SDK as it comes."
            )
    rows = bench.peers.versus
    ahead = [versus for versus in rows if min(versus.ratios_as_it_comes(p50)) > 1]
    yield f"On the SDK as it comes, Restate is ahead in every block of {len(ahead)} of the {len(rows)} rows."


def _languages(bench: Bench) -> Iterator[str]:
    assert bench.languages
    yield f"Measured on {bench.languages.made}, as part of a run of its own."
    for loops in bench.languages.loops[:1]:
        python, typescript = (
            [median(durable, of) / median(plain, of) for of in (p50, cpu)]  # those of the table
            for durable, plain in (
                (loops.python, loops.python_plain),
                (loops.typescript, loops.typescript_plain),
            )
        )
        yield (
            f"{loops.concurrency} at a time, a durable claim takes {python[0]:.1f} times as long as a plain one in "
            f"Python, and {typescript[0]:.1f} times in TypeScript. It takes {python[1]:.1f} and {typescript[1]:.1f} "
            "times as much CPU."
        )


def _growth(bench: Bench) -> Iterator[str]:
    assert bench.growth
    hundred = next(point for point in bench.growth.steps if point.steps == 100)
    ratio = statistics.median(hundred.slow) / STEP / 1000
    yield f"A hundred parallel steps of {STEP:g} s take {ratio:.2f} times as long as one. The target is 1.5."
    yield f"A claim of a megabyte ends at once, and is not retried: `{bench.growth.refused}`."


def _measured() -> tuple[dict[str, Any], dict[tuple[Pattern, int], Cost]]:
    """What `deploy.cost --json` wrote, and the costs in it as `deploy.cost` has them."""
    measured = json.loads((DOCS / "deploy-cost.json").read_text())
    patterns = {pattern.title: pattern for pattern in (FAN_OUT, REMOTE_CHECKS)}
    costs = {(patterns[cost.pop("pattern")], cost.pop("nodes")): Cost(**cost) for cost in measured["costs"]}
    return measured, costs


def _cost(_: Bench) -> str:
    measured, costs = _measured()
    [framework] = (each for each in FRAMEWORKS if each.title == measured["agent"])
    table, *lines = deploy_cost.results(framework, costs, measured["claims"])
    assert isinstance(table, FittedTable)
    opened = measured["open"]
    lines.append(deploy_cost.of_open_claims(opened["claims"], opened["agent"], opened["restate"]))
    return f"{markdown(table)}\n\n{_bullets(map(str, lines))}"


BUSY = 0.6
"""The part of the time for which a planned core is busy."""


def _cores(bench: Bench) -> str:
    _, costs = _measured()
    times = costs[FAN_OUT, NODES].restate / costs[FAN_OUT, 1].restate
    rows = []
    for cost in bench.durability:
        if cost.concurrency == 1:
            agent, one = median(cost.durable, agent_cpu_of), median(cost.durable, server_cpu_of)
            of_agent, of_restate = agent / 1000 / BUSY, one * times / 1000 / BUSY
            cores = [f"{number * of_agent:.1f} + {number * of_restate:.1f}" for number in (100, 1000)]
            rows.append((cost.title, f"{agent:.1f}", f"{one:.1f} → {one * times:.1f}", *cores))
    headings = ["framework", "agent, ms", "Restate, ms", "cores for 100/s: agent + Restate", "for 1000/s"]
    title = f"CPU; Restate's times {times:.1f}, for three nodes; cores that are {BUSY:.0%} busy"
    return markdown(FittedTable(headings, rows, title))


FIGURES: dict[str, Callable[[Bench], str]] = {
    "made": _made,
    "durability": lambda bench: _tables(show.durability(bench.durability)) + "\n\n" + _bullets(_durability(bench)),
    "pieces": lambda bench: markdown(show.pieces(bench.pieces)) + "\n\n" + _bullets(_pieces(bench)),
    "steps": lambda bench: markdown(show.steps(bench.steps)),
    "languages": lambda bench: (
        _tables(show.languages(bench.languages)) + "\n\n" + _bullets(_languages(bench))  # type: ignore[arg-type]
    ),
    "peers": lambda bench: _tables(show.peers(bench.peers)) + "\n\n" + _bullets(_peers(bench)),  # type: ignore[arg-type]
    "growth": lambda bench: _tables(show.growth(bench.growth)) + "\n\n" + _bullets(_growth(bench)),  # type: ignore[arg-type]
    "start": lambda bench: markdown(show.start(bench.start)),
    "tracing": lambda bench: markdown(show.tracing(bench.tracing)),
    "cost": _cost,
    "cores": _cores,
}


def filled(page: Path) -> str:
    """The page with its figures."""
    bench = benchmark()
    return BLOCK.sub(lambda found: f"{found[1]}\n{FIGURES[found[2]](bench)}\n\n{found[3]}", page.read_text())


def pages() -> list[Path]:
    """The pages that have figures."""
    return [page for page in sorted(DOCS.glob("*.md")) if BLOCK.search(page.read_text())]


if __name__ == "__main__":
    for page in pages():
        page.write_text(filled(page))
