"""A comparison as data: figures from the journal and the ledger, and facts from the agents' code.

`tour compare` shows it in the terminal, and writes it as JSON and HTML.
"""

import datetime
import json
import math
import os
import platform
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

import jinja2
import psutil
from packaging.requirements import Requirement
from pydantic import BaseModel, ConfigDict

from lab.ledger import Entry, Fault
from shared.claims import InsuranceClaim
from tour import code
from tour.code import Facts
from tour.runtime import evidence, journal, node, restate_server
from tour.runtime.evidence import Runs
from tour.runtime.frameworks import PYTHON, Framework
from tour.runtime.journal import Invocation

TERMS = (
    "retried: after a failure. interrupted: in flight when its process was killed. repeated: for another reason, "
    "such as a sibling's failure; must be 0. recovery: from the first fault until the step was done."
)
"""The meaning of the columns for the reasons why a check ran again."""

TEMPLATES = jinja2.Environment(
    loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
    autoescape=True,
    trim_blocks=True,
    lstrip_blocks=True,
)
"""The HTML templates of the report, and the parts that the live page shares with it."""

VERDICTS = ("Approved", "Rejected", "Needs review", "error")


@dataclass(frozen=True)
class Files:
    """The files to which a result is written, if named; `json` may be `-` for standard output."""

    json: str = ""
    html: Path | None = None

    def write(self, figures: str, page: Callable[[], str]) -> None:
        """Write the page, and the JSON with a final newline."""
        if self.json == "-":
            print(figures, end="")
        elif self.json:
            Path(self.json).write_text(figures)
        if self.html:
            self.html.write_text(page(), encoding="utf-8")


NO_FILES = Files()


class Step(BaseModel):
    """A durable step. Times are in ms since the invocation was created; `end` is None until there is a result."""

    name: str
    kind: Literal["model call", "check", "other"]
    start: float
    end: float | None
    failed: bool


class Failure(BaseModel):
    """A failed attempt of the invocation: `at` is in ms since its creation, `step` is the step that failed, if any."""

    at: float
    step: str | None
    message: str


class Run(BaseModel):
    """One claim that one framework decided. Times are in ms, sizes in bytes, `recovery` is in seconds.

    `runs` has the number of runs of each check and their reasons, by the check's name. `recovery` is the time from the
    first fault until the step that it hit was done.
    """

    model_config = ConfigDict(json_schema_serialization_defaults_required=True)

    answer: str
    verdict: str
    """`Approved`, `Rejected` or `Needs review`; `error` if the invocation failed; else `none`."""
    invocation: str
    page: str
    total: float
    model_calls: int
    model_time: float
    tokens_read: int
    tokens_written: int
    fan_out: float
    parallelism: float
    entries: int
    journal_bytes: int
    steps: list[Step]
    failures: list[Failure]
    runs: dict[str, Runs]
    recovery: float | None


class FrameworkReport(BaseModel):
    """One framework: facts from its code, and its runs in order. The first run is the first claim of a new process."""

    name: str
    title: str
    wire: str
    code: Facts
    runs: list[Run]


class Machine(BaseModel):
    system: str
    cores: int
    memory_gib: float
    python: str


class Report(BaseModel):
    """A whole comparison. The latencies, in seconds, are those of the offline model and of each check."""

    made: datetime.datetime
    versions: dict[str, str]
    machine: Machine
    model: str
    model_latency: float
    step_latency: float
    faults: list[str]
    claim: InsuranceClaim
    frameworks: list[FrameworkReport]


def run_of(answer: str, invocation: Invocation, ledger: Sequence[Entry], tokens: tuple[int, int], page: str) -> Run:
    """One run, from Restate's answer, its journal and the lab's ledger. `tokens` are the tokens read and written."""
    word = "error" if invocation.error else answer.partition(":")[0]
    return Run(
        answer=answer,
        verdict=word if word in VERDICTS else "none",
        invocation=invocation.id,
        page=page,
        total=invocation.total,
        model_calls=len(invocation.model_calls),
        model_time=invocation.model_time,
        tokens_read=tokens[0],
        tokens_written=tokens[1],
        fan_out=invocation.span,
        parallelism=invocation.parallelism,
        entries=invocation.entries,
        journal_bytes=invocation.size,
        steps=[_step(step, invocation) for step in invocation.steps],
        failures=[
            Failure(at=failure.at - invocation.created, step=failure.step, message=failure.message)
            for failure in invocation.failures
        ],
        runs=evidence.runs(invocation, ledger),
        recovery=evidence.recovery(ledger, invocation.id),
    )


def lanes(steps: Iterable[Step]) -> list[tuple[Step, int]]:
    """Each of these steps with a lane, from 0, in which no other step runs at the same time."""
    ends: list[float] = []
    placed = []
    for step in sorted(steps, key=lambda step: step.start):
        lane = next((lane for lane, end in enumerate(ends) if end <= step.start), len(ends))
        ends[lane : lane + 1] = [math.inf if step.end is None else step.end]
        placed.append((step, lane))
    return placed


def ticks(longest: float) -> list[float]:
    """The times of an axis of this length, from 0 in equal steps of 1, 2 or 5 times a power of ten; at most five."""
    power = 10 ** math.floor(math.log10(longest / 4))
    step = next(times * power for times in (1, 2, 5, 10) if longest <= 4.999 * times * power)
    return [step * number for number in range(math.floor(longest / step) + 1)]


TEMPLATES.filters |= {"lanes": lanes, "ticks": ticks}


def _step(step: journal.Step, invocation: Invocation) -> Step:
    kind: Literal["model call", "check", "other"] = (
        "model call" if step.is_model_call else "check" if step in invocation.checks else "other"
    )
    end = None if step.end is None else step.end - invocation.created
    return Step(name=step.name, kind=kind, start=step.start - invocation.created, end=end, failed=step.failed)


def report_of(
    runs: Mapping[Framework, Sequence[Run]],
    *,
    claim: InsuranceClaim,
    model: str,
    model_latency: float,
    step_latency: float,
    faults: Sequence[Fault],
) -> Report:
    """The report on these runs, made now on this machine. Latencies are in seconds."""
    return Report(
        made=datetime.datetime.now(datetime.UTC).replace(microsecond=0),
        versions=versions(),
        machine=machine(),
        model=model,
        model_latency=model_latency,
        step_latency=step_latency,
        faults=[describe(fault) for fault in faults],
        claim=claim,
        frameworks=[
            FrameworkReport(
                name=framework.name,
                title=framework.title,
                wire=framework.wire,
                code=code.facts(framework),
                runs=list(made),
            )
            for framework, made in runs.items()
        ],
    )


def versions() -> dict[str, str]:
    """The installed versions of the SDKs and of the Restate server, by package name."""
    of_npm: dict[str, str] = json.loads((node.TYPESCRIPT / "package.json").read_text())["dependencies"]
    names = ["restate-sdk", *(Requirement(each).name for framework in PYTHON for each in framework.packages)]
    of_python = {name: metadata.version(name) for name in names}
    return of_python | {"restate-server": restate_server.VERSION} | of_npm


def machine() -> Machine:
    """This machine."""
    return Machine(
        system=f"{platform.system()} {platform.machine()}",
        cores=os.cpu_count() or 1,
        memory_gib=round(psutil.virtual_memory().total / 2**30, 1),
        python=platform.python_version(),
    )


def describe(fault: Fault) -> str:
    """A planned fault in words, such as `fraud fails 2 times`."""
    times = f" {fault.times} times" if fault.times > 1 else ""
    match fault.kind:
        case "delay":
            return f"{fault.step} takes {fault.value:g} s longer"
        case "fail":
            return f"{fault.step} fails{times or ' once'}"
        case "terminal":
            return f"{fault.step} ends with {fault.value:g}"
        case "crash-before" | "crash-after":
            return f"the process is killed {fault.kind.removeprefix('crash-')} {fault.step}"
        case "freeze":
            return f"{fault.step} freezes its process"
        case "status":
            return f"the model answers {fault.value:g}{times}"
    return f"the model's answer: {fault.kind}{times}"


def html(report: Report) -> str:
    """The report as one self-contained HTML page. Nothing from a claim becomes markup."""
    longest = max((run.total for framework in report.frameworks for run in framework.runs), default=0) or 1
    return TEMPLATES.get_template("report.html").render(
        report=report,
        longest=longest,
        terms=TERMS,
        regions=code.regions(),
        json=report.model_dump_json(indent=1),
    )
