"""The figures of the benchmark as a plot."""

import itertools
import math
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.growth import STEP
from bench.measuring import Block, median, p50, rate
from bench.run import Bench
from bench.runtimes import runtimes


def plot(bench: Bench, file: Path) -> None:
    """Draw the parts that were measured. The file's suffix chooses the format. Needs matplotlib."""
    import matplotlib.pyplot as plt  # it takes half a second to import

    drawings = [
        *([_draw_ratios, _draw_throughput] if bench.durability else []),
        *([_draw_languages] if bench.languages else []),
        *([_draw_peers] if bench.peers else []),
        *([_draw_steps, _draw_sessions] if bench.growth else []),
        *([_draw_start] if bench.start else []),
    ]
    rows = max(1, math.ceil(len(drawings) / 3))
    figure, axes = plt.subplots(rows, 3, figsize=(16, 4 * rows), layout="constrained", squeeze=False)
    for draw, ax in itertools.zip_longest(drawings, axes.flat):
        if draw:
            draw(bench, ax)
        else:
            ax.axis("off")
    figure.savefig(file)
    plt.close(figure)


def plot_runtimes(bench: Bench, file: Path) -> None:
    """Draw five runtimes: the time of a claim, and the time and the work that a crash costs. Needs matplotlib."""
    import matplotlib.pyplot as plt

    assert bench.peers
    found = list(runtimes(bench.peers))
    names = [each.title.replace("`", "") for each in found]
    colors = ["C0" if name.startswith("Restate") else "0.55" for name in names]
    rows = range(len(found))
    figure, (times, wait, redone) = plt.subplots(1, 3, figsize=(12, 3.2), layout="constrained", sharey=True)
    figure.suptitle("One agent on five durable runtimes: shorter is better")
    for marker, at in zip(("o", "D"), (0, -1), strict=True):
        loads = [each.loads[at] for each in found]
        times.scatter(
            [statistics.median(load.times) for load in loads],
            rows,
            c=colors if at == 0 else "none",
            edgecolors=colors,
            marker=marker,
            label=f"{loads[0].concurrency} at a time",
        )
    times.set(xscale="log", title="time of a claim\n(times Restate's on the same SDK)")
    times.axvline(1, color="grey", linewidth=0.5)
    most = max(statistics.median(load.times) for each in found for load in each.loads)
    ticks = [tick for tick in (0.5, 1, 2, 5, 10, 20, 50) if tick < 1.5 * most]
    times.set(xticks=ticks, xticklabels=[f"{tick:g}×" for tick in ticks])
    times.minorticks_off()
    times.legend(fontsize="small")
    crashes = f"finished work done again\n(after how many of {found[0].kills} crashes)"
    for bars, title, figures, format in (
        (
            wait,
            "wait after a crash\n(beyond the new start and the work)",
            [each.middle.beyond for each in found],
            "%.1f s",
        ),
        (redone, crashes, [each.redone for each in found], "%d"),
    ):
        bars.bar_label(bars.barh(rows, figures, color=colors), fmt=format, padding=3)
        bars.set(title=title, xlim=(0, 1.25 * max(*figures, 1)), xticks=())
    times.set(yticks=rows, yticklabels=names)
    times.invert_yaxis()
    for ax in (times, wait, redone):
        ax.spines[["top", "right"]].set_visible(False)
    for ax in (wait, redone):
        ax.spines["bottom"].set_visible(False)
    figure.savefig(file)
    plt.close(figure)


def _draw_ratios(bench: Bench, ax: Any) -> None:
    alone = [cost for cost in bench.durability if cost.concurrency == 1]
    _draw_spreads(ax, {cost.title: cost.ratios(p50) for cost in alone})
    ax.set_title("p50, durable over plain, one claim at a time")


def _draw_languages(bench: Bench, ax: Any) -> None:
    assert bench.languages
    concurrency = [loops.concurrency for loops in bench.languages.loops]
    blocks = {
        language: [(getattr(loops, language), getattr(loops, f"{language}_plain")) for loops in bench.languages.loops]
        for language in ("python", "typescript")
    }
    _draw_rates(ax, concurrency, blocks)
    ax.set_title("the loops' claims per second: durable —, plain ···")


def _draw_peers(bench: Bench, ax: Any) -> None:
    assert bench.peers
    alone = [versus for versus in bench.peers.versus if versus.concurrency == 1]
    _draw_spreads(ax, {versus.title: versus.ratios(p50) for versus in alone})
    ax.set(xscale="log", xticks=(1, 2, 5, 10), xticklabels=(1, 2, 5, 10))
    ax.set_title("p50, the peer over Restate, one claim at a time")


def _draw_spreads(ax: Any, rows: Mapping[str, Sequence[float]]) -> None:
    for row, ratios in enumerate(rows.values()):
        ax.plot(ratios, [row] * len(ratios), "o", color=f"C{row}", alpha=0.5)
        ax.plot(statistics.median(ratios), row, "|", color=f"C{row}", markersize=24)
    ax.set(yticks=range(len(rows)), yticklabels=rows)
    ax.axvline(1, color="grey", linewidth=0.5)
    ax.invert_yaxis()


def _draw_throughput(bench: Bench, ax: Any) -> None:
    concurrency = list(dict.fromkeys(cost.concurrency for cost in bench.durability))
    blocks = {
        title: [(cost.durable, cost.plain) for cost in costs]
        for title, costs in itertools.groupby(bench.durability, key=lambda cost: cost.title)
    }
    _draw_rates(ax, concurrency, blocks)
    ax.set_title("claims per second: durable —, plain ···")


def _draw_rates(
    ax: Any, concurrency: Sequence[int], blocks: Mapping[str, Sequence[tuple[Sequence[Block], Sequence[Block]]]]
) -> None:
    """Lines of the claims per second; `blocks` are, by the name of a line, the durable and the plain ones."""
    for row, (label, sides) in enumerate(blocks.items()):
        for side, style in enumerate(("-", ":")):
            rates = [median(both[side], rate) for both in sides]
            ax.plot(concurrency, rates, style, color=f"C{row}", label=label if style == "-" else None)
    room = (0, 1.3 * ax.get_ylim()[1])  # for the legend, above the lines
    ax.set(xscale="log", xticks=concurrency, xticklabels=concurrency, xlabel="claims at a time", ylim=room)
    ax.legend(fontsize="x-small", loc="upper center", ncols=3)


def _draw_steps(bench: Bench, ax: Any) -> None:
    assert bench.growth
    steps = [point.steps for point in bench.growth.steps]
    for label, style, times in (
        ("instant", "o-", [statistics.median(point.instant) for point in bench.growth.steps]),
        (f"of {STEP:g} s", "s-", [statistics.median(point.slow) for point in bench.growth.steps]),
    ):
        ax.plot(steps, times, style, label=label)
    ax.set(xscale="log", yscale="log", xticks=steps, xticklabels=steps, xlabel="parallel steps", title="a fan-out, ms")
    ax.legend(fontsize="x-small")


def _draw_sessions(bench: Bench, ax: Any) -> None:
    assert bench.growth
    for title, sessions in itertools.groupby(bench.growth.sessions, key=lambda session: session.title):
        for number, session in enumerate(sessions):
            turns = range(1, len(session.latencies) + 1)
            ax.plot(turns, session.latencies, color=f"C{number}", linewidth=0.7, label=None if number else title)
    ax.set(xlabel="turn of a session", ylim=(0, None), title="a session's turn, ms")
    ax.legend(fontsize="x-small")


def _draw_start(bench: Bench, ax: Any) -> None:
    for row, start in enumerate(bench.start):
        ax.barh(row, statistics.median(start.ready), color=f"C{row}", alpha=0.4)
        ax.barh(row, statistics.median(start.imports), color=f"C{row}")
    ax.set(yticks=range(len(bench.start)), yticklabels=[start.title for start in bench.start])
    ax.set_title("a start, s: the import, and until it answers")
    ax.invert_yaxis()
