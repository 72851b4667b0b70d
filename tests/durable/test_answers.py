"""The rules for a model's answer, over all wires; typescript/tests/answers.test.ts has similar cases for Node."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durable import answers
from tests import wires
from tests.plain.generated import values

WIRES = ("OpenAI Responses", "OpenAI Chat", "Gemini")

ids = st.one_of(st.just(wires.MISSING), st.sampled_from(["a", "b", "c", "", None, 7, [], "call_1"]))


def ids_of(wire: str, answer: dict[str, Any]) -> list[Any]:
    match wire:
        case "OpenAI Responses":
            return [item.get("call_id") for item in answer["output"]]
        case "OpenAI Chat":
            return [call.get("id") for call in answer["choices"][0]["message"].get("tool_calls", [])]
    return [part["functionCall"].get("id") for part in answer["candidates"][0]["content"]["parts"]]


@pytest.mark.parametrize("wire", WIRES)
@given(given_ids=st.lists(ids, max_size=5))
def test_each_call_has_an_id_of_its_own(wire: str, given_ids: list[object]) -> None:
    answer = wires.turn(wire, calls=[(id, "tool", '{"a": 1}') for id in given_ids])
    before = copy.deepcopy(answer)
    changed = answers.mend_calls(answer)
    assert changed == (answer != before)
    found = ids_of(wire, answer)
    own = [id for id in found if id]
    assert len(set(own)) == len(own)
    assert wire == "Gemini" or (len(own) == len(found) and all(isinstance(id, str) for id in own))
    for at, (id, now) in enumerate(zip(given_ids, found, strict=True)):
        if isinstance(id, str) and id and id not in given_ids[:at]:
            assert now == id, "the first call keeps its id"
    assert not answers.mend_calls(answer), "once is enough"


def test_arguments_become_text() -> None:
    answer = wires.turn("OpenAI Chat", calls=[("c", "tool", "{}")])
    answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] = {"é": [1.0]}
    assert answers.mend_calls(answer)
    assert answer["choices"][0]["message"]["tool_calls"][0]["function"]["arguments"] == '{"é":[1.0]}'


CALL = [("c", "tool", "{}")]
UNDECIDED = [
    (wires.turn("OpenAI Chat", "Appro", ends="length"), "the model's answer is cut off: length"),
    (wires.turn("OpenAI Chat", ends="content_filter"), "the model's answer is cut off: content_filter"),
    (wires.turn("OpenAI Chat", refusal="No."), "the model refuses: No."),
    (
        wires.turn("OpenAI Responses", "Appro", ends="max_output_tokens"),
        "the model's answer is cut off: max_output_tokens",
    ),
    (wires.turn("OpenAI Responses", refusal="No."), "the model refuses: No."),
    (wires.turn("Gemini", "Appro", ends="MAX_TOKENS"), "the model's answer is cut off: MAX_TOKENS"),
    (wires.turn("Gemini", "Appro", ends="RECITATION"), "the model's answer is cut off: RECITATION"),
    (wires.turn("Gemini", ends="MAX_TOKENS", thought="Hm"), "the model's answer is cut off: MAX_TOKENS"),
    (wires.turn("Gemini", ends="SAFETY"), "the model refuses: SAFETY"),
    (wires.turn("Gemini", refusal="No."), "the model refuses: No."),
    ({"promptFeedback": {"blockReason": "OTHER"}}, "the model refuses: OTHER"),
]


@pytest.mark.parametrize(("answer", "problem"), UNDECIDED, ids=[problem for _, problem in UNDECIDED])
def test_what_is_no_decision(answer: dict[str, Any], problem: str) -> None:
    assert answers.no_decision(answer) == problem


DECIDED = [
    *(wires.turn(wire, "Approved.") for wire in WIRES),
    *(wires.turn(wire, "Approved.", thought="Hm") for wire in WIRES),
    *(wires.turn(wire, calls=CALL) for wire in WIRES),
    wires.turn("OpenAI Chat", "Approved.", ends="eos"),
    wires.turn("OpenAI Chat", "Approved.", refusal=""),
    wires.turn("OpenAI Chat", calls=CALL, ends="length"),
    wires.turn("OpenAI Responses", calls=CALL, ends="max_output_tokens"),
    wires.turn("Gemini", ends="MALFORMED_FUNCTION_CALL"),
]


@pytest.mark.parametrize("answer", DECIDED, ids=json.dumps)
def test_what_is_left_to_the_sdk(answer: dict[str, Any]) -> None:
    assert answers.no_decision(answer) is None


PER_DAY = {"violations": [{"quotaId": "GenerateRequestsPerDayPerProjectPerModel-FreeTier"}]}
PER_MINUTE = {"violations": [{"quotaId": "GenerateRequestsPerMinutePerProjectPerModel-FreeTier"}]}


@pytest.mark.parametrize(
    ("status", "error", "final"),
    [
        (402, None, True),
        (429, {"error": {"code": "insufficient_quota"}}, True),
        (429, {"error": {"type": "insufficient_quota"}}, True),
        (429, {"error": {"code": "rate_limit_exceeded"}}, False),
        (429, {"error": {"status": "RESOURCE_EXHAUSTED", "details": [PER_DAY]}}, True),
        (429, {"error": {"status": "RESOURCE_EXHAUSTED", "details": [PER_MINUTE]}}, False),
        (429, "slow down", False),
        (500, {"error": {"code": "insufficient_quota"}}, False),
    ],
)
def test_when_nothing_is_left_to_pay_with(status: int, error: Any, final: bool) -> None:
    assert answers.is_out_of_money(status, error) == final


keys = st.sampled_from(["choices", "output", "candidates", "message", "content", "parts", "tool_calls", "functionCall"])
anything = st.recursive(values, lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(keys, inner)))


@given(answer=anything, status=st.integers(200, 599))
def test_nothing_that_a_server_sends_is_an_error_here(answer: Any, status: int) -> None:
    answers.mend_calls(answer)
    answers.no_decision(answer)
    answers.is_out_of_money(status, answer)
