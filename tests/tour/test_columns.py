"""At 80 columns no table is cut: each heading and each important value is complete."""

import re
from collections.abc import Iterator, Sequence
from io import StringIO
from pathlib import Path

import pytest
import typer
from rich.console import Console, RenderableType
from typer.testing import CliRunner

import deploy.cluster
import deploy.cost
from lab.ledger import Entry, Fault
from shared.claims import sample_claims
from tour import chaos, cli, compare, report, show
from tour.chaos import Verdict
from tour.report import Report
from tour.runtime import doctor
from tour.runtime.frameworks import FRAMEWORKS, PATTERNS
from tour.runtime.journal import Failure, Invocation, Step
from tour.tables import FittedTable
from workshop import commands as workshop
from workshop.chapters import CHAPTERS

TITLES = [framework.title for framework in FRAMEWORKS]
FAULTS = [Fault("fraud", "fail", times=2), Fault("cost", "crash-before")]


def invocation(id: str, seconds: float, error: str | None = None) -> Invocation:
    """A claim of two model calls and three checks: one check failed twice, and another was killed."""
    steps = (
        Step(1, "call LLM", 0, 300, False),
        *(Step(3 + at, name, 310, 310 + seconds * 700, False) for at, name in enumerate(("eligibility", "cost"))),
        Step(5, "fraud", 310, 310 + seconds * 900, error is not None),
        Step(7, "call LLM", 320 + seconds * 900, seconds * 1000, False),
    )
    failures = (Failure(400, "fraud", "boom"), Failure(900, None, "gone"))
    return Invocation(id, "completed", 0, seconds * 1000, error, 12, 12_345, steps, failures)


def ledger(id: str, framework: str) -> list[Entry]:
    """`cost` is interrupted twelve times, `fraud` fails twelve times."""
    return [
        *(
            Entry(1.0 + pid, pid, framework, id, "eligibility", event, "ok")
            for pid in (1,)
            for event in ("start", "end")
        ),
        *(Entry(1.0 + pid, pid, framework, id, "cost", "start", "") for pid in range(12)),
        Entry(1.5, 0, framework, id, "fraud", "injected", "fail"),
        *(
            Entry(2.0 + at, 0, framework, id, "fraud", event, "failed" if event == "end" else "")
            for at in range(12)
            for event in ("start", "end")
        ),
        Entry(15.0, 0, framework, id, "fraud", "end", "ok"),
    ]


def made(runs: int, faults: Sequence[Fault], answer: str = "Needs review: eligible; high risk.") -> Report:
    """A report on all frameworks, after this many claims each."""
    return report.report_of(
        {
            framework: [
                report.run_of(
                    answer,
                    invocation(f"inv_{at}", 3.04 + at),
                    ledger(f"inv_{at}", framework.prefix()) if faults else [],
                    (1234, 123),
                    f"http://127.0.0.1:9070/ui/invocations/inv_{at}",
                )
                for at in range(runs)
            ]
            for framework in FRAMEWORKS
        },
        claim=sample_claims()["broken-leg"],
        model="the offline model",
        model_latency=0.3,
        step_latency=0.5,
        faults=faults,
    )


def printed(*parts: RenderableType, width: int = 80) -> str:
    """The output of a terminal with this width, with each heading's words in a row."""
    console = Console(file=StringIO(), width=width)
    for part in parts:
        console.print(part)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert max(map(len, said.splitlines())) <= width
    assert "…" not in said
    return str(said)


def whole(said: str, *expected: str) -> None:
    """Each word of these headings and values is in the output, as a separate word."""
    words = said.split()
    assert [word for text in expected for word in text.split() if word not in words] == []


@pytest.mark.parametrize("runs", [1, 3])
@pytest.mark.parametrize("faults", [[], FAULTS])
def test_the_figures(runs: int, faults: Sequence[Fault]) -> None:
    said = printed(show.figures(made(runs, faults)))
    whole(said, *TITLES, "framework decision total model calls fan-out parallel", "Needs review")
    assert ("3.04 s" if runs == 1 else "4.04 s (3.04-5.04)") in said
    if runs == 1:
        assert said.count(" kB ") == len(FRAMEWORKS), "the journal's size matters more than the tokens"


def test_the_figures_of_claims_that_took_long_go_on_in_a_second_table() -> None:
    said = printed(show.figures(made(12, [])))
    assert "(3.04-14.04)" in said
    assert said.count("framework") == 2
    whole(said, "decision total model calls tokens fan-out parallel entries journal", "12.3 kB")


def test_an_answer_without_a_verdict() -> None:
    whole(
        printed(show.figures(made(1, [], "I cannot decide this claim today."))), *TITLES, "I cannot decide this claim"
    )


@pytest.mark.parametrize("runs", [1, 12])
def test_the_runs_of_each_check(runs: int) -> None:
    said = printed(show.faults(made(runs, FAULTS)))
    whole(said, *TITLES, "eligibility ran cost ran fraud ran retried interrupted repeated recovery", "13.50 s")
    whole(said, f"{12 * runs} x")


def test_the_facts_of_the_code() -> None:
    said = printed(show.read_from_the_code(made(1, [])))
    whole(said, *TITLES, "lines helpers model's wire service context submitted claim session")
    whole(said, "CompactedSessionService", "restate.ext.langchain", "Virtual Object", "OpenAI Responses")


def test_the_timelines() -> None:
    runs = {framework.title: framework.runs[-1] for framework in made(1, FAULTS).frameworks}
    whole(printed(show.timelines(runs, 80)), *TITLES, "eligibility cost fraud", "model call check failed attempt")
    patterns = {pattern.title: next(iter(runs.values())) for pattern in PATTERNS}
    whole(printed(show.timelines(patterns, 80)), *patterns, "eligibility cost fraud")


def test_the_progress_of_the_claims() -> None:
    running = invocation("inv_1", 3.0)
    unfinished = [step.__class__(step.index, step.name, step.start, None, False) for step in running.steps[1:4]]
    running = Invocation("inv_1", "running", 0, None, None, 12, 12_345, tuple(unfinished), running.failures * 6)
    said = printed(compare.progress("claim 10 of 12", FRAMEWORKS, [running] * len(FRAMEWORKS)))
    whole(said, *TITLES, "eligibility, cost, fraud (12 failed attempts)", "claim 10 of 12")


def test_the_verdict_on_a_storm() -> None:
    rows = [(title, "40", "40", "1480", "123", "123", "12", "0", "0") for title in TITLES]
    verdict = Verdict({"no finished step ran again": ["inv_1: fraud"]}, 120, 120, 12, 12, rows)
    console = Console(file=StringIO(), width=80)
    chaos.show(verdict, 99.0, console)
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in said
    whole(said, *TITLES, "claims right steps run retried interrupted kills repeated redone", "1480 123 12")


@pytest.mark.parametrize("names", [TITLES, TITLES[:1], TITLES[:2]])
def test_the_code_side_by_side(names: list[str]) -> None:
    chosen = [framework for framework in FRAMEWORKS if framework.title in names]
    for width in (80, 125):
        said = printed(*show.side_by_side(chosen, "", width), width=width)
        whole(said, *names)
        assert len(re.findall(r"(?:def|const) (?:calculate_metrics|calculateMetrics)\b", said)) == len(names)


HELP = {
    "tour": typer.main.get_command(cli.cli),
    "deploy.cluster": typer.main.get_command(deploy.cluster.cli),
    "deploy.cost": typer.main.get_command(deploy.cost.cli),
}


def commands(command: object, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of the command and its subcommands."""
    yield path
    for name, each in getattr(command, "commands", {}).items():
        yield from commands(each, (*path, name))


@pytest.mark.parametrize(
    ("program", "path"), [(program, path) for program, command in HELP.items() for path in commands(command)]
)
def test_the_help(program: str, path: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    command = {"tour": cli.cli, "deploy.cluster": deploy.cluster.cli, "deploy.cost": deploy.cost.cli}[program]
    said = CliRunner().invoke(command, [*path, "--help"]).output
    assert "Usage" in said
    assert "…" not in said
    assert max(map(len, said.splitlines())) <= 80
    inner = HELP[program]
    for name in path:
        inner = inner.commands[name]  # type: ignore[attr-defined]
    for parameter in inner.params:
        assert any(option in said.split() for option in (*parameter.opts, parameter.name)), parameter.opts


def test_the_list_of_chapters(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    console = Console(file=StringIO(), width=80)
    monkeypatch.setattr(workshop, "console", console)
    monkeypatch.setenv("TOUR_WORKSHOP", str(tmp_path))  # a long path
    for chapter in CHAPTERS:
        chapter.mine.touch()
    CliRunner().invoke(cli.cli, ["workshop"])
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in said
    whole(said, *(chapter.title for chapter in CHAPTERS))


def test_the_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    console = Console(file=StringIO(), width=80)
    monkeypatch.setattr(cli, "console", console)
    CliRunner().invoke(cli.cli, ["doctor"])
    said = console.file.getvalue()  # type: ignore[attr-defined]
    assert "…" not in said
    assert [finding.what for finding in doctor.examine() if finding.what not in said] == []


@pytest.mark.parametrize("width", [80, 60, 40, 30])
def test_a_table_that_is_too_wide_goes_on_below(width: int) -> None:
    table = FittedTable(
        ["framework", "claims per second", "journal entries", "interrupted", "expendable"],
        [(title, "123.4", "7", "0", "x") for title in TITLES],
        title="A title",
        expendable=("expendable",),
    )
    said = printed(table, width=width)
    whole(said, *TITLES, "framework claims per second journal entries interrupted")
    assert said.count("A title") == 1


def test_a_wide_terminal_has_each_heading_on_one_line() -> None:
    table = FittedTable(["framework", "claims per second", "expendable"], [("a", "1", "2")], expendable=("expendable",))
    assert printed(table).split("\n")[1].split() == ["framework", "claims", "per", "second", "expendable"]
