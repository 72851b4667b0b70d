"""The durable agent accepts every answer of a model server with which the plain agent decides.

The exceptions are `EXCEPTIONS`; docs/models.md gives the reasons.

EXAMPLES=2000 uv run pytest tests/plain
"""

import json
import os
import re

import pytest
from hypothesis import strategies as st

from offline_model.changes import changed
from offline_model.faults import Raw
from tests import wires
from tests.conformance.test_answers import ALWAYS, HELLO, changes
from tests.conformance.test_promise import everywhere
from tests.plain import generated
from tests.plain.conftest import Both, is_an_answer
from tests.plain.examples import TODAY, examples_of
from tour.runtime.frameworks import ROOT, Framework

EXCEPTIONS = {
    "a text that is cut off": r"500: the model's answer is cut off: .*",
    "a refusal": r"500: the model refuses: .*",
    "thoughts (`<think>…</think>`) in the text": r"500: the model gave no answer: its text is empty",
}
"""Intended outcomes of a durable agent where the plain one answers."""


def script(framework: Framework, odd: object, turn: int) -> list[object]:
    """A claim whose model gives the odd answer in this turn."""
    flat = framework.name == "pydantic_ai_agent"
    call = [("c1", "calculate_metrics", json.dumps(generated.arguments(flat)))]
    turns: list[object] = [wires.turn(framework.wire, calls=call), wires.turn(framework.wire, "Approved.")]
    return [*turns[:turn], odd, *turns[turn:]] if turn == 0 else [turns[0], odd]


async def judged(both: Both, framework: Framework, scripts: list[list[object]]) -> None:
    """The durable agent must answer wherever the plain one does, except for `EXCEPTIONS`.

    The answers are the same, unless the durable agent has asked the model once more (LangChain's `AskAgain`).
    """
    plain = await both.outcomes(both.to_plain, framework, scripts)
    durable = await both.outcomes(both.to_durable, framework, scripts)
    wrong = [
        f"{each}\nplain   {one}\ndurable {other}"
        for each, (one, asked), (other, asked_durably) in zip(scripts, plain, durable, strict=True)
        if is_an_answer(one)
        and one != other
        and not (is_an_answer(other) and len(asked_durably.requests) > len(asked.requests))
        and not any(re.fullmatch(outcome, other, re.DOTALL) for outcome in EXCEPTIONS.values())
    ]
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.parametrize("exception", EXCEPTIONS)
def test_the_page_gives_the_reason_of_an_exception(exception: str) -> None:
    assert f"| {exception} | " in (ROOT / "docs/models.md").read_text()


NAMED: list[object] = [Raw(**json.loads(fault.detail)) for fault in ALWAYS.values()]
PARTS = 12


@pytest.mark.in_turn(1)
@pytest.mark.parametrize("part", range(PARTS))
async def test_each_named_odd_answer(both: Both, part: int) -> None:
    async def of(framework: Framework) -> None:
        named = [*NAMED, HELLO[framework.wire]][part::PARTS]
        await judged(both, framework, [script(framework, odd, turn) for odd in named for turn in (0, 1)])

    await everywhere(both.running, of)


def odd_answers(framework: Framework) -> st.SearchStrategy[tuple[str, int]]:
    """The text of an answer, and its turn."""
    turns = st.one_of(
        generated.turn(framework.wire, flat=framework.name == "pydantic_ai_agent"),
        st.just(wires.turn(framework.wire, "Approved.")),
    )
    return st.tuples(st.builds(lambda turn, how: changed(turn, how).decode(), turns, changes), st.integers(0, 1))


@pytest.mark.timeout(0 if "EXAMPLES" in os.environ else 400)
async def test_any_odd_answer(both: Both) -> None:
    drawn = {framework.name: examples_of(odd_answers(framework)) for framework in TODAY}

    async def of(framework: Framework) -> None:
        await judged(both, framework, [script(framework, odd, turn) for odd, turn in drawn[framework.name]])

    await everywhere(both.running, of)
