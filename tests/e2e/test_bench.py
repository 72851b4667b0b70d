"""The benchmark measures what it says: both sides decide the same claims, and no figure is left out."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from tour import bench
from tour.bench import Bench, Block, Cost
from tour.frameworks import FRAMEWORKS


async def test_each_framework_is_measured_with_and_without_restate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "BLOCKS", 2)
    monkeypatch.setattr(bench, "CONCURRENCY", (1, 4))
    monkeypatch.setattr(bench, "STEPS", (3, 6))
    measured = await bench.measure(tmp_path, FRAMEWORKS, 6, Console(file=StringIO()))
    assert [(cost.framework, cost.concurrency) for cost in measured.costs] == [
        (framework.name, concurrency) for framework in FRAMEWORKS for concurrency in (1, 4)
    ]
    for cost in measured.costs:
        for block in (*cost.durable, *cost.plain):
            assert len(block.latencies) == max(6, 2 * cost.concurrency)
            assert block.agent_cpu > 0
        assert all(block.server_cpu > 0 for block in cost.durable)
        assert all(block.server_cpu == 0 for block in cost.plain)
        assert bench.p50(cost.durable[0]) > 0

    assert [point.steps for point in measured.growth] == [3, 6]
    assert all(latency > bench.STEP * 1000 for point in measured.growth for latency in point.slow)

    kept = tmp_path / "bench.json"
    kept.write_text(measured.model_dump_json())
    bench.plot(Bench.model_validate_json(kept.read_bytes()), tmp_path / "bench.svg")
    assert (tmp_path / "bench.svg").read_text().count("<svg") == 1
    shown = Console(file=StringIO(), width=80)
    for table in bench.tables(measured):
        shown.print(table)
    said = shown.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in said, "the tables fit 80 columns"
    assert all(said.count(framework.title) == 3 for framework in FRAMEWORKS)


def test_a_ratio_is_that_of_neighbouring_blocks() -> None:
    def block(*latencies: float) -> Block:
        return Block(latencies=list(latencies), seconds=sum(latencies) / 1000, agent_cpu=1, server_cpu=0)

    cost = Cost(
        framework="x",
        title="X",
        concurrency=1,
        durable=[block(20, 20, 20), block(90, 90, 90)],  # the machine was slower then, for both
        plain=[block(10, 10, 10), block(30, 30, 30)],
    )
    assert cost.ratios(bench.p50) == [2, 3]
    assert bench.spread(cost.ratios(bench.p50)) == "2.50 (2.00-3.00)"
    assert bench.rate(cost.plain[0]) == pytest.approx(100)


def test_the_exponent_of_growth() -> None:
    points = [bench.Growth(steps=steps, instant=[steps**2 * 0.1], slow=[1]) for steps in (3, 30, 300)]
    assert bench.exponents(points) == pytest.approx([2, 2])
