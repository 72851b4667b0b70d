"""What the pages show of other files: the figures of the runs, and the code of the tool. No figure is typed.

uv run python -m tests.docs.figures    # writes the pages again
"""

import itertools
import json
import re
import statistics
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from bench import show
from bench.growth import STEP, around
from bench.measuring import agent_cpu_of, cpu, median, p50, p95, rate, server_cpu_of, spread
from bench.run import Bench
from bench.streaming_cost import LATENCY
from deploy.cluster import NODES
from deploy.cost import Cost
from tests.conformance import documented
from tests.conformance.grading import PROMISES
from tests.docs import comparison_figures, peer_figures
from tests.docs.words import bullets, in_words, markdown, span, table, where, with_versions
from tests.proof.exhaustive import COUNTS
from tour import code
from tour.runtime.frameworks import BY_NAME, FAN_OUT, REMOTE_CHECKS, ROOT, Pattern

DOCS = ROOT / "docs"
PART = re.compile(r"(<!-- figures: ([\w: ]+) -->)(\n?).*?(<!-- end of figures -->)", re.DOTALL)
"""A part of a page that is generated from a file, and its name in `FIGURES`: lines of its own, or a part of one."""


@cache
def benchmark() -> Bench:
    """The run of the benchmark that the pages show."""
    return Bench.model_validate_json((DOCS / "benchmark.json").read_bytes())


def _made(bench: Bench) -> str:
    return (
        f"The figures of a section are from one run, the first made {bench.made}, on {where(bench.machine)}.\n"
        f"{with_versions(bench.versions)}"
    )


def _durability(bench: Bench) -> str:
    columns = "plain, ms", "durable, p50 and p95", "ratio", "as it comes", "CPU: agent + server, ms", "CPU ratio"
    rows = []
    for title, costs in itertools.groupby(bench.durability, key=lambda cost: cost.title):
        alone, *_, loaded = [cost for cost in costs if cost.concurrency <= LOADED]
        rows.append(
            [
                title,
                f"{median(alone.plain, p50):.1f}",
                f"{median(alone.durable, p50):.1f}, {median(alone.durable, p95):.1f}",
                spread(alone.ratios(p50)),
                spread(alone.ratios_as_it_comes(p50)) if alone.as_it_comes else "",
                " + ".join(f"{median(alone.durable, of):.1f}" for of in (agent_cpu_of, server_cpu_of)),
                f"{statistics.median(alone.ratios(cpu)):.2f}",
                f"{median(loaded.durable, rate):.0f} ({statistics.median(loaded.ratios(rate)):.2f})",
            ]
        )
    return table("framework", [*columns, f"claims/s, {LOADED} at a time"], rows)


LOADED = 32
"""The concurrency at which throughput is shown."""


def _pieces(bench: Bench) -> str:
    none, one, three = ([median(blocks, p50) for blocks in (of.synced, of.unsynced)] for of in bench.pieces)
    claim, unsynced = (none[at] + 2 * (one[at] - none[at]) + (three[at] - none[at]) for at in (0, 1))
    agent, server = (median(bench.pieces[0].synced, of) for of in (agent_cpu_of, server_cpu_of))
    return (
        f"An invocation without a step takes {none[0]:.1f} ms: {agent:.1f} ms of the agent's CPU, {server:.1f} of the\n"
        f"server's, and {none[0] - none[1]:.1f} of waits for the disk; the rest is the way between the processes.\n"
        f"With one step it takes {one[0]:.1f} ms, and with three in parallel {three[0]:.1f}. A claim has two model\n"
        f"calls, one after the other, and three checks between them: {claim:.1f} ms, of which\n"
        f"{claim - unsynced:.1f} ms are waits for the disk."
    )


def _least(bench: Bench) -> str:
    assert bench.least
    theirs, ours = (bench.least.added(blocks) for blocks in (bench.least.langgraph, bench.least.restate))
    needed = [p50(block) for block in bench.least.invocation]
    slower = sum(added > least for added, least in zip(theirs, needed, strict=True))
    return (
        f"{markdown(show.least(bench.least))}\n\n"
        f"LangGraph adds {spread(theirs)} ms to the agent's claim, and Restate {spread(ours)} ms.\n"
        f"The invocation itself, without a step, takes {spread(needed)} ms of them. LangGraph adds more than\n"
        f"that in {slower} of {len(needed)} rounds."
    )


def _languages(bench: Bench) -> str:
    assert bench.languages
    loops = bench.languages.loops
    numbers = in_words([str(each.concurrency) for each in loops])
    ratios, cpus = (
        in_words([f"{statistics.median(each.durable_ratios(of)):.1f}" for each in loops]) for of in (p50, cpu)
    )
    return (
        f"With {numbers} claims at a time, the durable loop in Python takes {ratios} times as long as the one in\n"
        f"TypeScript, and {cpus} times the CPU."
    )


def _growth(bench: Bench) -> str:
    assert bench.growth
    least, *_, most = bench.growth.payloads
    sessions = bench.growth.sessions
    latencies = [around(session, turn) for session in sessions for turn in session.stored]
    sizes = [size / 1000 for session in sessions for size in session.stored.values()]
    hundred = next(point for point in bench.growth.steps if point.steps == 100)
    rows = [
        (point.steps, f"{statistics.median(point.instant):.0f}", f"{statistics.median(point.slow):.0f}")
        for point in bench.growth.steps
    ]
    times = statistics.median(hundred.slow) / STEP / 1000
    lines = [
        f"A hundred parallel steps of {STEP:g} s take {times:.2f} times as long as one.",
        f"A payload that is journaled four times takes {statistics.median(least.latencies):.0f} ms at "
        f"{least.size:,} bytes, and {statistics.median(most.latencies):.0f} ms at {most.size:,}.",
        f"In a session of {max(sessions[0].stored)} claims (Google ADK), a claim takes {span(latencies)} ms, and the "
        f"session {span(sizes)} kB.",
        f"A claim of a megabyte ends at once, and is not retried: `{bench.growth.refused}`.",
    ]
    return f"{table('parallel steps', ('instant, ms', f'of {STEP:g} s, ms'), rows)}\n\n{bullets(lines)}"


def _start(bench: Bench) -> str:
    memory = {start.title: statistics.median(start.memory) for start in bench.start}
    least, *_, most = sorted(memory, key=lambda title: memory[title])
    return (
        f"An agent takes {memory[least]:.0f} MiB ({least}) to {memory[most]:.0f} MiB ({most}) once it is imported. "
        "[The comparison](comparison.md#code-and-footprint)\nhas the time until it answers."
    )


def _tracing(bench: Bench) -> str:
    rows = ((cost.title, spread(cost.ratios(p50)), spread(cost.ratios(cpu))) for cost in bench.tracing)
    return table("framework", ("latency, with traces over without", "CPU"), rows)


def _streaming(bench: Bench) -> str:
    columns = (
        "plain: whole, streamed",
        "on Restate: usual, streaming, with a listener",
        "streaming over usual",
        "if reports cost nothing",
        "with a listener",
        "first token over the model's",
    )
    rows = []
    for cost in bench.streaming:
        plain, durable = (cost.plain, cost.plain_streams), (cost.usual, cost.unheard, cost.heard)
        cpus = [", ".join(f"{median(side, cpu):.0f}" for side in sides) for sides in (plain, durable)]
        ratios = (cost.of_unheard(cpu), cost.of_free_reports(cpu), cost.of_heard(cpu), cost.first_token_ratios())
        rows.append([cost.title, *cpus, *map(spread, ratios)])
    added = [median(cost.plain_streams, cpu) - median(cost.plain, cpu) for cost in bench.streaming]
    reports = [
        median(cost.unheard, cpu) - median(cost.usual, cpu) - of_sdk
        for cost, of_sdk in zip(bench.streaming, added, strict=True)
    ]
    listener = [median(cost.heard, cpu) - median(cost.unheard, cpu) for cost in bench.streaming]
    more = [cost.journal.entries - cost.usual_journal.entries for cost in bench.streaming]
    bytes = [(cost.usual_journal.bytes, cost.journal.bytes) for cost in bench.streaming]
    lines = [
        f"The SDK's own streaming, without Restate, adds {span(added)} ms. Reports add {span(reports)} ms to the "
        f"durable agent beyond that, and a listener {span(listener)} ms.",
        f"The agent's journal has {span(more)} more entries than the usual agent's, and "
        f"{span([now / usual for usual, now in bytes], '{:.2f}')} times its bytes.",
        f"The log gets {span([cost.recorded for cost in bench.streaming])} batches of a claim whose two model calls "
        f"take {LATENCY:g} s each. Its invocations have {span([cost.log.entries for cost in bench.streaming])} "
        f"journal entries of {span([cost.log.bytes / 1000 for cost in bench.streaming], '{:.1f}')} kB in all, which "
        "Restate drops as each ends.",
    ]
    return f"{table('framework', columns, rows)}\n\n{bullets(lines)}"


def _documented(_: Bench) -> str:
    titles = [BY_NAME[name].title for name in documented.grades()["agents"]]
    kept = documented.promises_kept()
    all_pass = [promise for promise, cells in kept.items() if all(passed == cases for passed, cases in cells)]
    rows = (
        [f"{promise}: {PROMISES[promise]}", *(f"{passed}/{cases}" if cases else "" for passed, cases in cells)]
        for promise, cells in kept.items()
        if promise not in all_pass
    )
    return f"{table('promise', titles, rows)}\n\nThe pattern passes all cases of {in_words(all_pass)}."


def _orders(_: Bench) -> str:
    counts = {title: [*of.values()] for title, of in json.loads(COUNTS.read_text()).items()}
    kinds = {
        "fan-outs of 1 to 5 steps, up to 2 of which fail": ("a fan-out",),
        "2 to 4 parallel tool calls": ("2 tools", "3 tools", "4 tools"),
        "3 branches": ("3 branches",),
        "all": ("",),
    }
    rows = []
    for kind, titles in kinds.items():
        columns = zip(*(of for title, of in counts.items() if title.startswith(titles)), strict=True)
        rows.append([kind, *(f"{sum(column):,}" for column in columns)])
    return table("programs", ("orders", "crashes", "attempts", "journal entries"), rows)


def _tool(_: Bench) -> str:
    lines = code.regions([BY_NAME["openai_agents"]])["the tool"]["openai_agents"]
    return "\n".join(["```python", *(line.text for line in lines), "```"])


def _measured() -> tuple[dict[str, Any], dict[tuple[Pattern, int], Cost]]:
    """The file of `deploy.cost --json`, and its costs as objects of `deploy.cost`."""
    measured = json.loads((DOCS / "deploy-cost.json").read_text())
    patterns = {pattern.title: pattern for pattern in (FAN_OUT, REMOTE_CHECKS)}
    costs = {(patterns[cost.pop("pattern")], cost.pop("nodes")): Cost(**cost) for cost in measured["costs"]}
    return measured, costs


def _cost(_: Bench) -> str:
    measured, costs = _measured()
    figures: dict[str, Callable[[Cost], str]] = {
        "Restate's CPU, ms": lambda cost: f"{cost.restate:.1f}",
        "agent's CPU, ms": lambda cost: f"{cost.agent:.1f}",
        "checks' CPU, ms": lambda cost: f"{cost.checks:.1f}",
        "Envoy's CPU, ms": lambda cost: f"{cost.envoy:.1f}",
        "latency, ms": lambda cost: f"{cost.alone * 1000:.0f}",
        "written to disk, kB": lambda cost: f"{cost.written / 1000:.0f}",
        "journal, kB": lambda cost: f"{cost.journal / 1000:.1f}",
        "Restate's memory, MB": lambda cost: f"{cost.memory / 1e6:.0f}",
    }
    names = {FAN_OUT: "steps", REMOTE_CHECKS: "services"}
    columns = [f"{names[pattern]}, {nodes} node{'s' * (nodes > 1)}" for pattern, nodes in costs]
    rows = ([name, *(figure(cost) for cost in costs.values())] for name, figure in figures.items())
    opened = measured["open"]
    return (
        f"{table('a claim, by where its checks are', columns, rows)}\n\n"
        f"This is the average of {measured['claims']} claims on {measured['agent']}. An open claim needs "
        f"{opened['agent'] / 1000:.0f} kB in the agent and {opened['restate'] / 1000:.0f} kB in Restate."
    )


BUSY = 0.6
"""The share of the time for which a planned core is busy."""


def _cores(bench: Bench) -> str:
    _, costs = _measured()
    times = costs[FAN_OUT, NODES].restate / costs[FAN_OUT, 1].restate
    rows = []
    for cost in bench.durability:
        if cost.concurrency == 1:
            agent, one = median(cost.durable, agent_cpu_of), median(cost.durable, server_cpu_of)
            of_agent, of_restate = agent / 1000 / BUSY, one * times / 1000 / BUSY
            rows.append((cost.title, f"{100 * of_agent:.1f} + {100 * of_restate:.1f}"))
    cores = table("framework", ("cores for 100 claims/s: agent + Restate",), rows)
    return f"{cores}\n\nCores are {BUSY:.0%} busy, and Restate's CPU on three nodes is {times:.1f} times that on one."


FIGURES: dict[str, Callable[[Bench], str]] = {
    "made": _made,
    "answer": peer_figures.answer,
    "durability": _durability,
    "pieces": _pieces,
    "inside": lambda bench: "\n\n".join(map(markdown, show.inside(bench.pieces))),
    "settings": lambda bench: markdown(show.settings(bench.settings)),
    "least": _least,
    "steps": lambda bench: markdown(show.steps(bench.steps)),
    "languages": _languages,
    "runtimes": peer_figures.five_runtimes,
    "choice": peer_figures.choice,
    "peers": peer_figures.peers,
    "recovery": peer_figures.recovery,
    "growth": _growth,
    "start": _start,
    "tracing": _tracing,
    "streaming": _streaming,
    "cost": _cost,
    "cores": _cores,
    "documented": _documented,
    "orders": _orders,
    "tool": _tool,
    **comparison_figures.FIGURES,
}


def filled(page: Path) -> str:
    """The page with its figures."""
    bench = benchmark()

    def with_figure(found: re.Match[str]) -> str:
        begin, name, lines, end = found.groups()
        figure = FIGURES[name](bench)
        return f"{begin}\n\n{figure}\n\n{end}" if lines else f"{begin}{figure}{end}"

    return PART.sub(with_figure, page.read_text())


def pages() -> list[Path]:
    """The pages that have figures."""
    return [page for page in [ROOT / "README.md", *sorted(DOCS.glob("*.md"))] if PART.search(page.read_text())]


if __name__ == "__main__":
    for page in pages():
        page.write_text(filled(page))
