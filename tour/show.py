"""A report in the terminal: tables, and a timeline for each framework."""

import statistics
import textwrap
from collections.abc import Callable, Iterator, Mapping, Sequence

from rich import box
from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from tour import code
from tour.report import TERMS, FrameworkReport, Report, Run, Step, lanes
from tour.runtime.frameworks import Framework
from tour.runtime.stack import CHECKS
from tour.tables import FittedTable

VERDICT_STYLES = {"Approved": "green", "Rejected": "red", "Needs review": "yellow", "error": "bold red"}

Columns = Mapping[str, Callable[[FrameworkReport], str | Text]]
"""The heading of each column, and its cell in the row of a framework."""


def figures(report: Report) -> FittedTable:
    """The figures of the runs; for several runs the medians, with the least and the greatest total."""
    columns: Columns = {
        "framework": lambda f: f.title,
        "decision": lambda f: _verdict(f.runs[-1]),
        "total": lambda f: _seconds([run.total for run in f.runs], spread=True),
        "model calls": lambda f: (
            f"{_median(run.model_calls for run in f.runs)} x, {_seconds([run.model_time for run in f.runs])}"
        ),
        "tokens": lambda f: f"{_median(r.tokens_read for r in f.runs)}+{_median(r.tokens_written for r in f.runs)}",
        "fan-out": lambda f: _seconds([run.fan_out for run in f.runs]),
        "parallel": lambda f: f"{statistics.median(run.parallelism for run in f.runs):.2f} x",
        "entries": lambda f: _median(run.entries for run in f.runs),
        "journal": lambda f: f"{statistics.median(run.journal_bytes for run in f.runs) / 1000:.1f} kB",
    }
    return _by_framework(report, columns, left=("decision",), expendable=("entries", "tokens", "journal"))


def faults(report: Report) -> RenderableType:
    """The number of runs of each check, with the reasons for repeats, summed over all claims."""
    rows: list[Sequence[str | Text]] = []
    for framework in report.frameworks:
        every = [(check, runs) for run in framework.runs for check, runs in run.runs.items()]
        recoveries = [run.recovery for run in framework.runs if run.recovery is not None]
        repeated = sum(runs.needless for _, runs in every)
        rows.append(
            (
                framework.title,
                *(f"{sum(runs.starts for check, runs in every if check == name)} x" for name in CHECKS),
                str(sum(runs.retried for _, runs in every)),
                str(sum(runs.interrupted for _, runs in every)),
                Text(str(repeated), style="bold red" if repeated else "green"),
                f"{statistics.median(recoveries):.2f} s" if recoveries else "",
            )
        )
    ran = [f"{check} ran" for check in CHECKS]
    shown = FittedTable(["framework", *ran, "retried", "interrupted", "repeated", "recovery"], rows)
    note = f"Planned: {', '.join(report.faults)}.\n{TERMS}"
    return Group(shown, Text(note, style="dim"))


def read_from_the_code(report: Report) -> FittedTable:
    """The facts from the agents' files."""
    columns: Columns = {
        "framework": lambda f: f.title,
        "lines": lambda f: str(f.code.lines),
        "helpers": lambda f: str(f.code.helpers),
        "model's wire": lambda f: f.wire,
        "session": lambda f: f.code.session,
        "service": lambda f: f.code.service,
        "context": lambda f: f.code.context,
        "submitted claim": lambda f: f.code.claim,
    }
    return _by_framework(report, columns, left=("model's wire", "session", "service", "context", "submitted claim"))


def _by_framework(report: Report, columns: Columns, left: Sequence[str], expendable: Sequence[str] = ()) -> FittedTable:
    rows = [[cell(framework) for cell in columns.values()] for framework in report.frameworks]
    return FittedTable(list(columns), rows, left=left, expendable=expendable)


def timelines(runs: Mapping[str, Run], width: int) -> Table:
    """The steps of these runs on one time scale, in `width` characters. Each check has a row, as checks overlap."""
    longest = max(run.total for run in runs.values()) or 1.0
    names = [check.name for run in runs.values() for check in run.steps if check.kind == "check"]
    bar = max(20, width - max(map(len, runs)) - max(map(len, ["eligibility", *names])) - 3)
    shown = Table.grid(padding=(0, 1))
    shown.add_row("", "", Text(f"0{f'{longest / 1000:.2f} s':>{bar - 1}}", style="dim", no_wrap=True))
    for title, run in runs.items():
        checks = [step for step in run.steps if step.kind == "check"]
        if {check.name for check in checks} == {*CHECKS}:  # specialists begin them in any order
            checks.sort(key=lambda check: CHECKS.index(check.name))
        model_calls = lanes(step for step in run.steps if step.kind == "model call")
        for number, check in enumerate(checks or (None,)):
            beside = [step for step, lane in model_calls if lane == number or not checks]
            line = _bar(run, check, not number, beside, longest, bar)
            shown.add_row("" if number else title, Text(check.name if check else "", style="dim"), line)
    failed = any(run.failures for run in runs.values())
    legend = f"█ model call  ━ check{'  ✗ failed attempt' if failed else ''}"
    shown.add_row("", "", Text(legend, style="dim", no_wrap=True))
    return shown


def _bar(run: Run, check: Step | None, is_first: bool, calls: Sequence[Step], longest: float, width: int) -> Text:
    """One row of a timeline, with these model calls: `width` characters for `longest` ms."""

    def at(moment: float) -> int:
        return min(width - 1, max(0, int(moment / longest * (width - 1))))

    failures = [
        failure
        for failure in run.failures
        if (check and failure.step == check.name) or (is_first and not _is_check(run, failure.step))
    ]
    marks = [(at(step.start), at(step.end or run.total), "█", "cyan") for step in calls]
    if check:
        marks.append((at(check.start), at(check.end or run.total), "━", "red" if check.failed else "green"))
    marks += [(at(failure.at), at(failure.at), "✗", "bold red") for failure in failures]
    plain = [" "] * width
    line = Text(no_wrap=True)
    styles = [""] * width
    for first, last, mark, style in marks:
        for place in range(first, last + 1):
            plain[place], styles[place] = mark, style
    for character, style in zip(plain, styles, strict=True):
        line.append(character, style)
    return line


def _is_check(run: Run, name: str | None) -> bool:
    return any(step.kind == "check" and step.name == name for step in run.steps)


def side_by_side(frameworks: Sequence[Framework], only_region: str, width: int) -> Iterator[RenderableType]:
    """The agents' code by region: in columns if they fit, else below each other. Lines that most share are dimmed."""
    fits = width // max(1, len(frameworks)) >= 60
    for region, by_framework in code.regions(frameworks).items():
        if only_region not in region:
            continue
        yield Text(f"\n{region}", style="bold underline")
        listings = {
            framework.title: Text("\n").join(
                Text(line.text, style="dim" if line.common else "") for line in by_framework[framework.name]
            )
            for framework in frameworks
        }
        if fits:
            shown = Table(box=box.SIMPLE_HEAD, expand=True)
            for title in listings:
                shown.add_column(title, ratio=1, overflow="fold")
            shown.add_row(*listings.values())
            yield shown
        else:
            for title, listing in listings.items():
                yield Text(f"\n{title}", style="bold cyan")
                yield listing


def answers(report: Report, console: Console) -> None:
    """Print each framework's last answer, and the address of its journal in the Restate UI."""
    for framework in report.frameworks:
        run = framework.runs[-1]
        console.print(f"{framework.title}: {run.answer}", soft_wrap=True, highlight=False, markup=False)
        console.print(f"  {run.page}", soft_wrap=True, highlight=False)


def _verdict(run: Run) -> Text:
    if run.verdict in VERDICT_STYLES:
        return Text(run.verdict, VERDICT_STYLES[run.verdict])
    return Text(textwrap.fill(run.answer[:60], len("Needs review")))


def _seconds(values: Sequence[float], *, spread: bool = False) -> str:
    """The median of times in ms, as seconds; with `spread`, also the least and the greatest of several."""
    shown = f"{statistics.median(values) / 1000:.2f} s"
    if spread and len(values) > 1:
        shown += f" ({min(values) / 1000:.2f}-{max(values) / 1000:.2f})"
    return shown


def _median(values: Iterator[int]) -> str:
    return f"{statistics.median(values):g}"
