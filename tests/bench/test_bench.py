"""The benchmark is fair: all sides decide the same claims, and no figure is left out."""

from importlib.util import find_spec
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench import against_peers, commands, crashes, growth, measuring, plot, runtimes, show
from bench.contenders import PEERS
from bench.durability import Cost
from bench.measuring import PARTS, Block, Extent
from bench.pieces import OTHERS, THREADS
from bench.run import Bench, measure, put
from bench.settings import NEW_CONNECTION, SETTINGS
from bench.starting import Start
from bench.steps import KINDS
from bench.streaming_cost import LATENCY
from tour.runtime.errors import TourError
from tour.runtime.frameworks import FRAMEWORKS, ROOT

CHOSEN = [framework for framework in FRAMEWORKS if framework.name in ("google_adk", "langchain_agent", "vercel_ai")]
AGAINST = [peer for peer in PEERS if peer.name == "langgraph.sqlite"]
SMALL = Extent(
    claims=3, blocks=1, concurrency=(1, 4), against=(1,), steps=(3, 6), payloads=(1_000, 10_000), turns=(2, 4)
)


@pytest.mark.nightly
@pytest.mark.server
@pytest.mark.timeout(600)
async def test_every_part_is_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(against_peers, "PEERS", AGAINST)
    monkeypatch.setattr(crashes, "POINTS", (crashes.AS_THEY_START, crashes.WINDOWS[0]))
    parts = [part for part in PARTS if part != "tracing" or find_spec("rotel")]
    kept = list[Bench]()
    measured = await measure(tmp_path, CHOSEN, parts, SMALL, Console(file=StringIO()), kept.append)
    assert len(kept) == len(parts)
    assert kept[-1] == measured

    assert [(cost.framework, cost.concurrency) for cost in measured.durability] == [
        (framework.name, concurrency) for framework in CHOSEN for concurrency in SMALL.concurrency
    ]
    for cost in measured.durability:
        for block in (*cost.durable, *cost.plain, *cost.as_it_comes):
            assert len(block.latencies) == max(SMALL.claims, 2 * cost.concurrency)
            assert block.agent_cpu > 0
        assert all(block.server_cpu > 0 for block in cost.durable)
        assert all(block.server_cpu == 0 for block in cost.plain)
        assert bool(cost.as_it_comes) == (cost.framework != "vercel_ai"), "in TypeScript nothing is replaced"

    assert [piece.steps for piece in measured.pieces] == [0, 1, 3]
    assert all(len(piece.synced) == len(piece.unsynced) == SMALL.blocks for piece in measured.pieces)
    assert all(hop.times >= 1 and hop.ms > 0 for piece in measured.pieces for hop in piece.hops.values())
    assert all(set(piece.threads) in ({*THREADS.values(), OTHERS}, set()) for piece in measured.pieces)

    assert [each.name for each in measured.settings] == [*SETTINGS, NEW_CONNECTION]
    assert all(len(each.blocks) == SMALL.blocks for each in measured.settings)

    assert measured.least
    assert all(len(blocks) == SMALL.blocks for blocks in dict(measured.least).values())
    assert measured.least.added(measured.least.plain) == [0] * SMALL.blocks

    assert [kind.title for kind in measured.steps] == list(KINDS)
    assert [kind.model_calls for kind in measured.steps] == [2, 2, 8, 8, 2]
    assert [kind.invocations for kind in measured.steps] == [1, 4, 1, 4, 4], "a request, its outcome and a decision"

    assert measured.peers
    assert [versus.peer for versus in measured.peers.versus] == [peer.name for peer in AGAINST]
    assert all(len(versus.theirs) == len(versus.ours) == SMALL.blocks for versus in measured.peers.versus)
    contenders = [
        *(peer.name for peer in AGAINST),
        *(framework.name for framework in CHOSEN),
        "langchain_agent.documented",
    ]
    assert [each.name for each in measured.peers.siblings] == contenders
    assert [each.name for each in measured.peers.upkeep] == contenders
    assert all(min(each.agent_memory, each.record, each.lines) > 0 for each in measured.peers.upkeep)
    assert len(measured.peers.recoveries) == len(contenders) * len(crashes.POINTS)
    for recovery in measured.peers.recoveries[len(AGAINST) * len(crashes.POINTS) : -len(crashes.POINTS)]:
        assert recovery.right
        in_window = recovery.point in {point.name for point in crashes.WINDOWS}
        assert in_window or not recovery.repeated_checks, "the promise"
        assert recovery.repeated_model_calls == 0, "the promise"

    assert measured.growth
    assert [point.steps for point in measured.growth.steps] == list(SMALL.steps)
    assert all(latency > growth.STEP * 1000 for point in measured.growth.steps for latency in point.slow)
    [*sessions] = measured.growth.sessions
    assert len(sessions) == SMALL.blocks
    assert all(0 < session.stored[2] < session.stored[4] for session in sessions)
    assert measured.growth.refused.startswith("400: invalid claim: reason:")

    assert [start.framework for start in measured.start] == [framework.name for framework in CHOSEN]
    assert all(min(start.memory + start.imports + start.ready) > 0 for start in measured.start)

    traced = [framework.name for framework in CHOSEN if not framework.on_node] if "tracing" in parts else []
    assert [cost.framework for cost in measured.tracing] == traced

    assert [cost.framework for cost in measured.streaming] == [framework.name for framework in CHOSEN]
    for streamed in measured.streaming:
        assert streamed.journal.entries == streamed.usual_journal.entries, "no entry for a token"
        assert streamed.log.invocations == streamed.recorded + 1, "and the end"
        assert min(streamed.first_token) > 1.5 * LATENCY, "after the first call, and half of the second"
    plot.plot(Bench.model_validate_json(measured.model_dump_json()), tmp_path / "bench.svg")
    assert (tmp_path / "bench.svg").read_text().count("<svg") == 1
    shown = Console(file=StringIO(), width=80)
    for table in show.tables(measured):
        shown.print(table)
    said = shown.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in said, "the tables fit 80 columns"
    for title in [*(framework.title for framework in CHOSEN), *(peer.title for peer in AGAINST)]:
        assert title in said


@pytest.mark.server
async def test_both_loops_are_measured_in_turns(tmp_path: Path) -> None:
    measured = await measure(tmp_path, FRAMEWORKS, ["languages"], SMALL, Console(file=StringIO()), list[Bench]().append)
    assert measured.languages
    assert [loops.concurrency for loops in measured.languages.loops] == list(SMALL.concurrency)
    for loops in measured.languages.loops:
        for plain in (*loops.python_plain, *loops.typescript_plain):
            assert plain.server_cpu == 0
            assert plain.agent_cpu > 0
        assert sum(durable.server_cpu for durable in (*loops.python, *loops.typescript)) > 0  # in ticks of 10 ms

    earlier = Bench.model_validate_json((ROOT / "docs/benchmark.json").read_bytes())
    both = put(measured, earlier)
    assert both.languages == measured.languages
    assert both.model_copy(update={"languages": earlier.languages}) == earlier


def test_a_framework_that_is_measured_again_takes_its_place() -> None:
    def start(framework: str, ready: float) -> Start:
        return Start(framework=framework, title=framework, imports=[1], memory=[1], ready=[ready])

    earlier = Bench.model_validate_json((ROOT / "docs/benchmark.json").read_bytes())
    before = earlier.model_copy(update={"start": [start("openai_agents", 1), start("restate_loop", 1)]})
    now = earlier.model_copy(update={"start": [start("vercel_ai", 2), start("openai_agents", 2)]})
    assert [(each.framework, each.ready) for each in put(now, before).start] == [
        ("openai_agents", [2]),
        ("restate_loop", [1]),
        ("vercel_ai", [2]),
    ]


@pytest.mark.long
def test_five_runtimes_are_drawn_from_the_run_s_file(tmp_path: Path) -> None:
    measured = Bench.model_validate_json((ROOT / "docs/benchmark.json").read_bytes())
    assert measured.peers
    titles = [runtime.title for runtime in runtimes.runtimes(measured.peers)]
    assert titles == [*runtimes.OURS, *runtimes.PEERS]
    plot.plot_runtimes(measured, tmp_path / "runtimes.svg")
    drawn = (tmp_path / "runtimes.svg").read_text()
    assert all(f"<!-- {title.replace('`', '')} -->" in drawn for title in titles)


def test_a_ratio_is_that_of_neighbouring_blocks() -> None:
    def block(*latencies: float) -> Block:
        return Block(latencies=list(latencies), seconds=sum(latencies) / 1000, agent_cpu=1, server_cpu=0)

    cost = Cost(
        framework="x",
        title="X",
        concurrency=1,
        durable=[block(20, 20, 20), block(90, 90, 90)],  # the machine was slower then, for both
        plain=[block(10, 10, 10), block(30, 30, 30)],
        as_it_comes=[block(30, 30, 30), block(90, 90, 90)],
    )
    assert cost.ratios_as_it_comes(measuring.p50) == [3, 3]
    assert cost.ratios(measuring.p50) == [2, 3]
    assert measuring.spread(cost.ratios(measuring.p50)) == "2.50 (2.00-3.00)"
    assert measuring.rate(cost.plain[0]) == pytest.approx(100)


def test_the_exponent_of_growth() -> None:
    assert growth.exponents([(steps, steps**2 * 0.1) for steps in (3, 30, 300)]) == pytest.approx([2, 2])


def test_without_its_packages_it_says_so_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(commands, "find_spec", lambda package: None)
    with pytest.raises(TourError) as raised:
        commands.bench()
    assert "--all-groups" in raised.value.remedy
