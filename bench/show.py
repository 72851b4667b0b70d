"""The figures of the benchmark as tables."""

import itertools
import statistics
from collections.abc import Iterator, Mapping, Sequence

from bench.against_peers import Peers
from bench.crashes import DELAY, MIDDLE, WINDOW, WINDOWS
from bench.durability import Cost
from bench.growth import STEP, Growth, around, exponents
from bench.languages import Languages
from bench.least import LANGGRAPH, Least
from bench.measuring import agent_cpu_of, cpu, median, p50, p95, rate, ratios, server_cpu_of, spread
from bench.pieces import Piece
from bench.run import Bench
from bench.settings import STEPS, Setting
from bench.starting import Start
from bench.steps import Kind
from bench.streaming_cost import Streaming
from bench.tracing_cost import Traced
from tour.tables import FittedTable


def tables(bench: Bench) -> Iterator[FittedTable]:
    """The tables of each part that was measured."""
    if bench.durability:
        yield from durability(bench.durability)
    if bench.pieces:
        yield pieces(bench.pieces)
        yield from inside(bench.pieces)
    if bench.settings:
        yield settings(bench.settings)
    if bench.least:
        yield least(bench.least)
    if bench.steps:
        yield steps(bench.steps)
    if bench.languages:
        yield from languages(bench.languages)
    if bench.peers:
        yield from peers(bench.peers)
    if bench.growth:
        yield from growth(bench.growth)
    if bench.start:
        yield start(bench.start)
    if bench.tracing:
        yield tracing(bench.tracing)
    if bench.streaming:
        yield from streaming(bench.streaming)


def durability(costs: Sequence[Cost]) -> Iterator[FittedTable]:
    """Durable against plain; a ratio is durable over plain, with the least and the greatest."""
    alone = [cost for cost in costs if cost.concurrency == 1]
    yield _table(
        "one claim at a time: latency in ms, p50 and p95",
        ("plain", "durable", "ratio of p50", "ratio on the SDKs as they come"),
        {
            cost.title: [
                *(f"{median(blocks, p50):.1f}, {median(blocks, p95):.1f}" for blocks in (cost.plain, cost.durable)),
                spread(cost.ratios(p50)),
                spread(cost.ratios_as_it_comes(p50)) if cost.as_it_comes else "-",
            ]
            for cost in alone
        },
    )
    yield _table(
        "one claim at a time: CPU time in ms",
        ("plain", "durable: agent + server", "ratio", "ratio on the SDKs as they come"),
        {
            cost.title: [
                f"{median(cost.plain, cpu):.1f}",
                " + ".join(f"{median(cost.durable, of):.1f}" for of in (agent_cpu_of, server_cpu_of)),
                spread(cost.ratios(cpu)),
                spread(cost.ratios_as_it_comes(cpu)) if cost.as_it_comes else "-",
            ]
            for cost in alone
        },
    )
    yield _table(
        "claims per second: plain, durable, ratio",
        [f"{concurrency} at a time" for concurrency in _concurrency(costs)],
        {
            title: [
                f"{median(cost.plain, rate):.0f}, {median(cost.durable, rate):.0f}, "
                f"{statistics.median(cost.ratios(rate)):.2f}"
                for cost in costs
            ]
            for title, costs in itertools.groupby(costs, key=lambda cost: cost.title)
        },
    )


def _concurrency(costs: Sequence[Cost]) -> list[int]:
    return list(dict.fromkeys(cost.concurrency for cost in costs))


def pieces(pieces: Sequence[Piece]) -> FittedTable:
    """Invocations of steps that take no time, on a server as it comes and on one that does not wait for the disk."""
    return _table(
        "an invocation with steps that take no time: p50 in ms, and CPU in ms",
        ("p50", "without waits for the disk", "agent's CPU", "server's CPU"),
        {
            str(piece.steps): [
                *(f"{median(blocks, p50):.1f}" for blocks in (piece.synced, piece.unsynced)),
                *(f"{median(piece.synced, of):.1f}" for of in (agent_cpu_of, server_cpu_of)),
            ]
            for piece in pieces
        },
        rows_are="parallel steps",
    )


def inside(pieces: Sequence[Piece]) -> Iterator[FittedTable]:
    """The hops of an invocation in the usual server, and the CPU time of the server's threads."""
    none, *_, most = pieces
    columns = ("without a step", f"{most.steps} steps")
    hops = {hop: [f"{of.hops[hop].times:.1f} x, {of.hops[hop].ms:.2f}" for of in (none, most)] for hop in none.hops}
    title = "the hops of an invocation in the server, which overlap: how often, and ms in all"
    yield _table(title, columns, hops, rows_are="hop")
    used = {kind: [(of.threads[kind].user, of.threads[kind].kernel) for of in (none, most)] for kind in none.threads}
    threads = {kind: [f"{user:.2f} + {kernel:.2f}" for user, kernel in times] for kind, times in used.items()}
    title = "the server's CPU for an invocation, in ms: the program's and the kernel's"
    yield _table(title, columns, threads, rows_are="threads")


def settings(settings: Sequence[Setting]) -> FittedTable:
    """Settings that keep durability, against those of the embedded server, which come first."""
    ours = settings[0].blocks
    return _table(
        f"an invocation with {STEPS} steps that take no time, one at a time: p50 in ms, and CPU over ours",
        ("p50", "over ours", "CPU over ours"),
        {
            each.name: [
                f"{median(each.blocks, p50):.1f}",
                *("1" if each.blocks is ours else spread(ratios(each.blocks, ours, of)) for of in (p50, cpu)),
            ]
            for each in settings
        },
        rows_are="setting",
    )


def least(least: Least) -> FittedTable:
    """The agent without durability, on LangGraph and on Restate, and an invocation without a step."""
    sides = {
        "the agent without durability": least.plain,
        f"on {LANGGRAPH.title}": least.langgraph,
        "on Restate": least.restate,
        "an invocation without a step": least.invocation,
    }
    return _table(
        "one claim at a time on LangChain: p50 in ms, and CPU in ms",
        ("p50", "agent's CPU", "server's CPU"),
        {
            name: [f"{median(blocks, of):.1f}" for of in (p50, agent_cpu_of, server_cpu_of)]
            for name, blocks in sides.items()
        },
        rows_are="side",
    )


def steps(kinds: Sequence[Kind]) -> FittedTable:
    """Claims whose steps are of these kinds and take no time; the last columns are the record of one claim."""
    return _table(
        "a claim by the kinds of its steps: p50 and CPU in ms, and what Restate keeps of it",
        ("p50", "agents' CPU", "server's CPU", "invocations", "entries", "kB", "model calls"),
        {
            kind.title: [
                *(f"{median(kind.blocks, of):.1f}" for of in (p50, agent_cpu_of, server_cpu_of)),
                *map(str, (kind.invocations, kind.entries, f"{kind.bytes / 1000:.1f}", kind.model_calls)),
            ]
            for kind in kinds
        },
        rows_are="steps",
    )


def languages(languages: Languages) -> Iterator[FittedTable]:
    """A ratio is Python over TypeScript: above 1, TypeScript has the lower latency."""
    for loops in languages.loops:
        yield _table(
            f"the loops, {loops.concurrency} at a time: Python's and TypeScript's",
            ("p50, ms", "ratio of p50", "CPU, ms", "ratio of CPU", "claims/s"),
            {
                title: [
                    *(f"{median(python, p50):.1f}, {median(typescript, p50):.1f}", spread(ratios(p50))),
                    *(f"{median(python, cpu):.1f}, {median(typescript, cpu):.1f}", spread(ratios(cpu))),
                    f"{median(python, rate):.0f}, {median(typescript, rate):.0f}",
                ]
                for title, python, typescript, ratios in (
                    ("plain", loops.python_plain, loops.typescript_plain, loops.plain_ratios),
                    ("durable", loops.python, loops.typescript, loops.durable_ratios),
                )
            },
            rows_are="side",
        )


def peers(peers: Peers) -> Iterator[FittedTable]:
    """A ratio is the peer over Restate's agent on the same SDK: above 1, Restate has the lower latency."""
    for concurrency in dict.fromkeys(versus.concurrency for versus in peers.versus):
        yield _table(
            f"{concurrency} at a time: p50 in ms, the peer's and Restate's on the same SDK",
            ("p50", "Restate's", "ratio of p50", "ratio to Restate as documented", "claims/s"),
            {
                versus.title: [
                    f"{median(versus.theirs, p50):.1f}",
                    f"{median(versus.ours, p50):.1f}",
                    spread(versus.ratios(p50)),
                    spread(versus.ratios_documented(p50)) if versus.documented else "-",
                    f"{median(versus.theirs, rate):.0f}, {median(versus.ours, rate):.0f}",
                ]
                for versus in peers.versus
                if versus.concurrency == concurrency
            },
            rows_are="peer",
        )
    yield _table(
        f"kill -9 {MIDDLE.name}: seconds from the kill",
        ("ready", "answered", "beyond"),
        {
            recovery.title: [f"{recovery.ready:.1f}", f"{recovery.answered:.1f}", f"{recovery.beyond:.1f}"]
            for recovery in peers.recoveries
            if recovery.point == MIDDLE.name
        },
        rows_are="agent",
    )
    yield _table(
        f"a step that fails beside one of {DELAY:g} s",
        ("requests of the caller", "runs of the slow step", "answered, s"),
        {
            each.title: [str(each.sends), str(each.runs), "never" if each.answered is None else f"{each.answered:.1f}"]
            for each in peers.siblings
        },
        rows_are="agent",
    )
    yield _table(
        "memory and size in MB, what is kept of a claim in kB, and lines of code",
        ("its memory", "server's memory", "server's files", "kept of a claim", "lines", "helpers"),
        {
            each.title: [
                *(f"{size / 1e6:.0f}" for size in (each.agent_memory, each.server_memory, each.server)),
                f"{each.record / 1000:.1f}",
                str(each.lines),
                str(each.helpers),
            ]
            for each in peers.upkeep
        },
        rows_are="agent",
    )
    windows = {point.name for point in WINDOWS}
    points = {recovery.point for recovery in peers.recoveries}
    kills = {
        title: list(recoveries)
        for title, recoveries in itertools.groupby(peers.recoveries, key=lambda each: each.title)
    }
    yield _table(
        f"kill -9 at each of {len(points)} points of a claim: kills after which finished work was done again",
        ("checks", f"checks, {WINDOW[0]} to {WINDOW[-1]} ms after their end", "model calls", "wrong answers"),
        {
            title: [
                f"{sum(bool(each.repeated_checks) for each in of if each.point not in windows)} of "
                f"{len(of) - len(windows)}",
                f"{sum(bool(each.repeated_checks) for each in of if each.point in windows)} of {len(windows)}",
                f"{sum(bool(each.repeated_model_calls) for each in of)} of {len(of)}",
                str(sum(not each.right for each in of)),
            ]
            for title, of in kills.items()
        },
        rows_are="agent",
    )


def growth(growth: Growth) -> Iterator[FittedTable]:
    """The exponent of a row is that of the growth since the row above: 1 is linear."""
    yield _table(
        f"a fan-out, in ms: of steps that take no time, and of steps of {STEP:g} s",
        ("instant", "exponent", f"of {STEP:g} s", f"over {STEP:g} s"),
        {
            str(point.steps): [
                f"{statistics.median(point.instant):.0f}",
                exponent,
                f"{statistics.median(point.slow):.0f}",
                spread([latency / STEP / 1000 for latency in point.slow]),
            ]
            for point, exponent in zip(
                growth.steps,
                _exponents([(point.steps, statistics.median(point.instant)) for point in growth.steps]),
                strict=True,
            )
        },
        rows_are="steps",
    )
    yield _table(
        "a payload that is journaled four times: latency in ms",
        ("median", "least", "most", "exponent"),
        {
            f"{point.size:,}": [
                *(f"{of(point.latencies):.0f}" for of in (statistics.median, min, max)),
                exponent,
            ]
            for point, exponent in zip(
                growth.payloads,
                _exponents([(point.size, statistics.median(point.latencies)) for point in growth.payloads]),
                strict=True,
            )
        },
        rows_are="bytes",
    )
    for title, sessions in itertools.groupby(growth.sessions, key=lambda session: session.title):
        same = list(sessions)
        turns = list(same[0].stored)
        points = [(turn, [around(session, turn) for session in same]) for turn in turns]
        yield _table(
            f"{title}, the turns of a session: latency in ms, and the session's size in kB",
            ("median", "least", "most", "exponent", "stored"),
            {
                str(turn): [
                    *(f"{of(latencies):.0f}" for of in (statistics.median, min, max)),
                    exponent,
                    f"{statistics.median(session.stored[turn] for session in same) / 1000:.0f}",
                ]
                for (turn, latencies), exponent in zip(
                    points,
                    _exponents([(turn, statistics.median(latencies)) for turn, latencies in points]),
                    strict=True,
                )
            },
            rows_are="turn",
        )


def _exponents(points: Sequence[tuple[float, float]]) -> list[str]:
    return ["", *(f"{exponent:.2f}" for exponent in exponents(points))]


def start(starts: Sequence[Start]) -> FittedTable:
    return _table(
        "a start: the import, the memory after it, and the time from the command until it answers",
        ("import, s", "MiB", "ready, s"),
        {
            start.title: [
                f"{statistics.median(start.imports):.2f}",
                f"{statistics.median(start.memory):.0f}",
                spread(start.ready),
            ]
            for start in starts
        },
    )


def tracing(costs: Sequence[Traced]) -> FittedTable:
    """With traces against without, one claim at a time."""
    return _table(
        "traces, one claim at a time: p50 in ms",
        ("off", "on", "ratio of p50", "ratio of CPU"),
        {
            cost.title: [
                f"{median(cost.off, p50):.1f}",
                f"{median(cost.on, p50):.1f}",
                spread(cost.ratios(p50)),
                spread(cost.ratios(cpu)),
            ]
            for cost in costs
        },
    )


def streaming(costs: Sequence[Streaming]) -> Iterator[FittedTable]:
    """A claim that is streamed against one that is not, one claim at a time, and the first token of its decision."""
    yield _table(
        "streaming: CPU in ms of agent, server of the streams and Restate",
        ("plain", "plain, streamed", "usual", "streaming", "with a listener"),
        {
            cost.title: [
                f"{median(side, cpu):.1f}"
                for side in (cost.plain, cost.plain_streams, cost.usual, cost.unheard, cost.heard)
            ]
            for cost in costs
        },
    )
    yield _table(
        "streaming over the usual agent: CPU, and over the model: the first token",
        ("the SDK alone", "streaming", "with a listener", "first token"),
        {
            cost.title: [
                *(spread(of(cpu)) for of in (cost.of_sdk, cost.of_unheard, cost.of_heard)),
                spread(cost.first_token_ratios()),
            ]
            for cost in costs
        },
    )


def _table(
    title: str, columns: Sequence[str], rows: Mapping[str, Sequence[str]], rows_are: str = "framework"
) -> FittedTable:
    return FittedTable([rows_are, *columns], [(name, *row) for name, row in rows.items()], title)
