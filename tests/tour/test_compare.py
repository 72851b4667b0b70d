"""The options of `tour compare`, its report as JSON and HTML, and the code by region."""

import re
from pathlib import Path

import pytest

from lab.ledger import Fault
from shared import checks
from shared.claims import sample_claims
from tour import code, compare, report
from tour.lanes import Lane, views
from tour.report import Report
from tour.runtime.errors import TourError
from tour.runtime.frameworks import FAN_OUT, FRAMEWORKS, ROOT, Framework
from tour.runtime.journal import Failure, Invocation, Step


def test_options_become_faults() -> None:
    assert compare.faults(
        fail=["fraud=2", "cost"],
        crash=["cost"],
        crash_after=["fraud"],
        terminal=["cost=422"],
        delay=["fraud=1.5s"],
        model=["500=2"],
    ) == [
        Fault("fraud", "delay", 1.5),
        Fault("fraud", "fail", times=2),
        Fault("cost", "fail"),
        Fault("cost", "terminal", 422),
        Fault("cost", "crash-before"),
        Fault("fraud", "crash-after"),
        Fault("model", "status", 500, times=2),
    ]
    assert [fault.step for fault in compare.faults(delay=["1s"])] == [*checks.CHECKS]


@pytest.mark.parametrize(
    "options",
    [
        {"fail": ["colour=2"]},
        {"fail": ["fraud=often"]},
        {"fail": ["fraud=nan"]},
        {"crash": [""]},
        {"terminal": ["cost=200"]},
        {"delay": ["-1s"]},
        {"delay": ["soon"]},
        {"model": ["418"]},
    ],
)
def test_options_that_make_no_sense_are_named(options: dict[str, list[str]]) -> None:
    with pytest.raises(TourError) as caught:
        compare.faults(**options)
    assert caught.value.problem.startswith("--")


@pytest.fixture
def made() -> Report:
    steps = (
        Step(1, "call LLM", 1_000, 1_200, False),
        Step(3, "fraud", 1_210, 1_900, False),
        Step(4, "cost", 1_210, 1_400, False),
    )
    failures = (Failure(1_500, "fraud", "boom"), Failure(1_600, None, "gone"))
    invocation = Invocation("inv_1", "completed", 1_000, 2_000, None, 7, 900, steps, failures)
    run = report.run_of("Approved: <b>all</b>.", invocation, [], (700, 60), "http://127.0.0.1/ui")
    claim = sample_claims()["broken-leg"].model_copy(update={"reason": "<script>alert(1)</script>"})
    return report.report_of(
        {framework: [run] for framework in FRAMEWORKS},
        claim=claim,
        model="the offline model",
        model_latency=0.3,
        step_latency=0.5,
        faults=[Fault("fraud", "fail", times=2)],
    )


def test_a_run_is_what_the_journal_says(made: Report) -> None:
    run = made.frameworks[0].runs[0]
    assert (run.verdict, run.total, run.model_time, run.fan_out) == ("Approved", 1_000, 200, 690)
    assert run.parallelism == pytest.approx((690 + 190) / 690)
    assert [(step.kind, step.start) for step in run.steps] == [("model call", 0), ("check", 210), ("check", 210)]
    assert [failure.at for failure in run.failures] == [500, 600]
    assert made.faults == ["fraud fails 2 times"]


def test_a_report_survives_json(made: Report) -> None:
    assert Report.model_validate_json(made.model_dump_json()) == made


def test_the_html_stands_alone_and_nothing_from_a_claim_is_markup(made: Report) -> None:
    page = report.html(made)
    assert "<script" not in page
    assert "<b>all</b>" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert not re.findall(r"(?:src|@import|<link)", page)
    assert all(framework.title in page for framework in FRAMEWORKS)


def test_every_framework_has_every_region() -> None:
    for region, columns in code.regions().items():
        for framework in FRAMEWORKS:
            assert columns[framework.name], f"{framework.name} has no region {region!r}"
        assert any(line.common for lines in columns.values() for line in lines)
    for framework in FRAMEWORKS:
        own = [line for columns in code.regions().values() for line in columns[framework.name] if not line.common]
        assert own, f"{framework.name} is as the others"


def test_the_regions_are_the_files_themselves() -> None:
    for framework in FRAMEWORKS:
        source = framework.entrypoint.read_text()
        for columns in code.regions().values():
            assert "\n".join(line.text for line in columns[framework.name]).strip() in source


def test_what_the_code_tells() -> None:
    told = {framework.name: code.facts(framework) for framework in FRAMEWORKS}
    assert [name for name, facts in told.items() if facts.service == "Virtual Object"] == ["google_adk"]
    assert told["google_adk"].session == "CompactedSessionService"
    assert told["openai_agents"].context == "restate.ext.openai"
    assert told["restate_loop"].context == "an argument"
    assert all(facts.lines < 80 for facts in told.values())
    assert [name for name, facts in told.items() if not facts.helpers] == ["vercel_ai"]


def test_a_file_without_a_region_is_said_so(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tour.runtime.frameworks.Framework.entrypoint", ROOT / "shared" / "checks.py")
    with pytest.raises(TourError, match="lacks a region"):
        code.regions()


def test_an_sdk_with_one_agent_so_far_has_one_lane(tmp_path: Path) -> None:
    (tmp_path / "parallel_tools_agent.py").touch()
    new = Framework(tmp_path, "acme_agent", "Acme", "OpenAI Chat")
    assert {title: lanes for title, lanes in views([new]).items() if lanes} == {
        f"All agents: {FAN_OUT.title}": [Lane(new, FAN_OUT, "Acme")],
        "Acme, every way": [Lane(new, FAN_OUT, FAN_OUT.title)],
    }
