"""At 80 columns no table of the benchmark, or of the cluster's costs, is cut."""

import datetime
import itertools
import re
import subprocess
import sys
import tomllib
from io import StringIO

from rich.console import Console, RenderableType

from bench import show
from bench.against_peers import Peers, Versus
from bench.contenders import PEERS
from bench.crashes import POINTS, Recovery
from bench.durability import Cost
from bench.growth import AROUND, Growth, Payload, Session, Steps
from bench.languages import Languages, Loops
from bench.least import Least
from bench.measuring import Block, Extent
from bench.run import Bench
from bench.settings import NEW_CONNECTION, SETTINGS, Setting
from bench.siblings import Siblings
from bench.starting import Start
from bench.tracing_cost import Traced
from bench.upkeep import Upkeep
from deploy import cost
from deploy.cluster import NODES
from tour.report import Machine
from tour.runtime.frameworks import FAN_OUT, FRAMEWORKS, REMOTE_CHECKS, ROOT

TITLES = [framework.title for framework in FRAMEWORKS]
CONTENDERS = [
    *(peer.title for peer in PEERS),
    *(f"Restate{kind}, {title}" for kind in ("", " as documented") for title in TITLES),
]
EXTENT = Extent()


def blocks(latency: float) -> list[Block]:
    """One fast block and one slow one; a latency of 0.5 ms makes a rate of four digits."""
    return [
        Block(latencies=[latency * factor] * 40, seconds=latency * factor / 25, agent_cpu=120.4, server_cpu=110.2)
        for factor in (1, 12)
    ]


def recovery(title: str, point: str) -> Recovery:
    return Recovery(
        name=title,
        title=title,
        point=point,
        ready=12.34,
        answered=45.67,
        repeated_checks=["cost"],
        repeated_model_calls=1,
        right=True,
    )


BENCH = Bench(
    made=datetime.date(2026, 11, 25),
    machine=Machine(system="Linux", cores=2, memory_gib=1.0, python="3.11"),
    versions={},
    durability=[
        Cost(
            framework=title,
            title=title,
            concurrency=concurrency,
            durable=blocks(123.4),
            plain=blocks(0.5),
            as_it_comes=blocks(1),
        )
        for title in TITLES
        for concurrency in EXTENT.concurrency
    ],
    languages=Languages(
        made=datetime.date(2026, 11, 25),
        loops=[
            Loops(
                concurrency=concurrency,
                python=blocks(123.4),
                python_plain=blocks(12.3),
                typescript=blocks(123.4),
                typescript_plain=blocks(0.5),
            )
            for concurrency in EXTENT.concurrency
        ],
    ),
    peers=Peers(
        made=datetime.date(2026, 11, 25),
        versions={},
        versus=[
            Versus(
                peer=peer.name,
                title=peer.title,
                restate="Pydantic AI",
                concurrency=concurrency,
                theirs=blocks(1234.5),
                ours=blocks(12.3),
                documented=blocks(12.3),
            )
            for peer in PEERS
            for concurrency in EXTENT.against
        ],
        recoveries=[recovery(title, point.name) for title in CONTENDERS for point in POINTS],
        siblings=[Siblings(name=title, title=title, sends=2, runs=12, answered=12.34) for title in CONTENDERS],
        upkeep=[
            Upkeep(
                name=title,
                title=title,
                agent_memory=123_456_789,
                server_memory=1_234_567_890,
                server=1_234_567_890,
                record=123_456,
                lines=123,
                helpers=1234,
            )
            for title in CONTENDERS
        ],
    ),
    growth=Growth(
        steps=[Steps(steps=steps, instant=[1.0 * steps], slow=[100.0 + 12 * steps]) for steps in EXTENT.steps],
        payloads=[Payload(size=size, latencies=[size / 100, size / 50]) for size in EXTENT.payloads],
        sessions=[
            Session(
                framework="google_adk",
                title="Google ADK",
                latencies=[1234.5] * (max(EXTENT.turns) + AROUND),
                stored={turn: turn * 12_345 for turn in EXTENT.turns},
            )
        ],
        refused="400: invalid claim: reason: too long",
    ),
    start=[
        Start(framework=title, title=title, imports=[12.34] * 5, memory=[1234.5] * 5, ready=[12.3, 45.6])
        for title in TITLES
    ],
    settings=[Setting(name=name, blocks=blocks(123.4)) for name in (*SETTINGS, NEW_CONNECTION)],
    least=Least(plain=blocks(123.4), langgraph=blocks(123.4), restate=blocks(123.4), invocation=blocks(0.5)),
    tracing=[Traced(framework=title, title=title, off=blocks(123.4), on=blocks(0.5)) for title in TITLES],
)


def printed(part: RenderableType) -> str:
    """The output of a terminal with 80 columns."""
    console = Console(file=StringIO(), width=80)
    console.print(part)
    said: str = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, said.splitlines())) <= 80
    assert "…" not in said
    return said


def test_the_tables_of_the_benchmark() -> None:
    tables = list(show.tables(BENCH))
    assert len(tables) == 3 + len(EXTENT.concurrency) + len(EXTENT.against) + 4 + 3 + 1 + 1 + 1 + 1
    for table in tables:
        words = printed(table).split()
        assert len(set(table.headings)) == len(table.headings)
        for text in (*table.headings, table.title, *(str(cell) for row in table.rows for cell in row)):
            assert [word for word in text.split() if word not in words] == [], table.title


def test_the_tables_need_no_peer() -> None:
    groups = tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]
    peers = [re.split(r"\W", package)[0] for package in groups["bench"]]
    code = f"import sys; sys.modules |= dict.fromkeys({peers}); import bench.show"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def test_the_costs_of_a_claim_on_a_cluster() -> None:
    figures = cost.Cost(123.4, 123.4, 12.3, 12.3, 12.34, 123_456, 1_234_567, 12_345, 0.12, 1_234e6)
    costs = {key: figures for key in itertools.product((FAN_OUT, REMOTE_CHECKS), (1, NODES))}
    said = "".join(printed(part) for part in cost.results(FRAMEWORKS[0], costs, 300))
    for text in (f"{FAN_OUT.title},", f"{REMOTE_CHECKS.title},", "1 node", "CPU of Restate, ms", "1234.6", "1234"):
        assert [word for word in text.split() if word not in said.split()] == []
