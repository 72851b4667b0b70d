"""The log of an invocation's events: lost and repeated reports leave no trace in it."""

import itertools
import json
from typing import Any

from ag_ui.core import BaseEvent
from hypothesis import given
from hypothesis import strategies as st

from durable.event_log import Call, End, Log, Note, Report, Step, Tokens, Turn, as_json
from tests.streams import told

TEXTS = st.text("ab ", max_size=6)


@st.composite
def happened(draw: st.DrawFn) -> tuple[dict[int, str], list[Report]]:
    """The journaled texts of some model calls, and their reports: some lost, some repeated, in any order."""
    truth = draw(st.dictionaries(st.integers(1, 3), TEXTS, max_size=3))
    reports: list[Report] = []
    for number, text in truth.items():
        for attempt in "xyz"[: draw(st.integers(0, 3))]:
            said, at = draw(st.sampled_from([text, draw(TEXTS)])), 0
            for piece in (said[:2], said[2:3], said[3:]):
                reports.append(Tokens(message=number, attempt=attempt, at=at, text=piece))
                at += len(piece)
        reports.append(Turn(message=number, text=text, calls=[Call(id=f"c{number}", name="f", arguments="{}")]))
    for step in range(draw(st.integers(0, 3))):
        reports += [Step(step=step, name="cost", ended=ended) for ended in (False, True)]
    reports.append(Note(key="desk", name="waits for a person", value=1))
    lost = draw(st.lists(st.sampled_from(reports))) if reports else []
    kept = [report for report in reports if isinstance(report, Turn | Step | Note) or report not in lost]
    return truth, draw(st.permutations([*kept, *lost]))


def as_event(event: BaseEvent) -> dict[str, Any]:
    """The event as it is sent."""
    sent: dict[str, Any] = json.loads(as_json(event))
    return sent


@given(happened(), st.data())
def test_any_reports_make_a_true_stream(happened: tuple[dict[int, str], list[Report]], data: st.DataObject) -> None:
    truth, reports = happened
    log, events = Log(invocation="inv"), list[BaseEvent]()
    cut = data.draw(st.integers(0, len(reports)))
    for batch in (reports[:cut], reports[cut:]):
        log = Log.model_validate_json(log.model_dump_json())  # as Restate keeps it
        events += log.record(batch)
    again = log.record(reports)
    assert again == []
    events += log.end(End(answer="Approved."))
    assert log.record(reports) == log.end(End(answer="another")) == []
    assert log.count == len(events)
    story = told(map(as_event, events))
    assert story.messages == {number: text for number, text in truth.items() if text}
    assert sorted(story.calls) == sorted(f"c{number}" for number in truth)
    assert story.answer == "Approved."
    assert len(story.begun) == len(story.ended)
    assert story.notes == ["waits for a person"]


@given(st.lists(st.builds(Tokens, message=st.just(1), attempt=st.sampled_from("xy"), at=st.just(0), text=TEXTS)))
def test_an_end_leaves_nothing_open(reports: list[Tokens]) -> None:
    log = Log(invocation="inv")
    events = [*log.record(reports), *log.end(End(error="cancelled", code=409))]
    story = told(map(as_event, events))
    assert story.messages == {}
    assert story.error == "cancelled"


@given(st.text("abc", min_size=6, max_size=9), st.lists(st.integers(1, 5), min_size=2), st.data())
def test_pieces_that_are_repeated_late_or_lost_take_nothing_back(
    text: str, cuts: list[int], data: st.DataObject
) -> None:
    at = sorted({0, len(text), *(cut for cut in cuts if cut < len(text))})
    pieces = [Tokens(message=1, attempt="x", at=a, text=text[a:b]) for a, b in itertools.pairwise(at)]
    late = Tokens(message=1, attempt="before", at=0, text="?")
    said = data.draw(st.lists(st.sampled_from([*pieces, late])))
    log = Log(invocation="inv")
    events = log.record([late, pieces[0], *said, Turn(message=1, text=text, calls=[])])
    story = told(map(as_event, events))
    assert story.messages == {1: text}
    assert story.restarts == 1, "the tokens of the attempt before, once"
