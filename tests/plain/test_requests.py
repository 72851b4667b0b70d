"""The journal is exact: durable and plain agents of an SDK send the model the same requests, byte for byte.

Hypothesis makes the model's turns, with every kind of item of each wire. Both agents get the same turns. The durable
agent runs on two Restates: one suspends it at every await, so that each request follows a replay; the other does not.

EXAMPLES=2000 uv run pytest tests/plain
"""

import itertools
import os
from typing import Any

import pytest
from hypothesis import strategies as st

from tests import wires
from tests.conformance.test_promise import everywhere
from tests.plain import generated
from tests.plain.conftest import Both, is_an_answer
from tests.plain.examples import TODAY, examples_of
from tour.runtime.frameworks import Framework


def scripts(framework: Framework) -> st.SearchStrategy[list[Any]]:
    turn = generated.turn(framework.wire, flat=framework.name == "pydantic_ai_agent")
    last = wires.turn(framework.wire, "Approved.")
    return st.lists(turn, min_size=1, max_size=2).map(lambda turns: [*turns, last])


@pytest.mark.timeout(0 if "EXAMPLES" in os.environ else 400)
async def test_the_requests_are_those_of_the_plain_agent(both: Both) -> None:
    drawn = {framework.name: examples_of(scripts(framework)) for framework in TODAY}

    async def of(framework: Framework) -> None:
        await judged(both, framework, drawn[framework.name])

    await everywhere(both.running, of)


async def judged(both: Both, framework: Framework, drawn: list[list[Any]]) -> None:
    """If the plain agent answers, the durable one must ask and answer alike, on both kinds of server."""
    plain = await both.outcomes(both.to_plain, framework, drawn)
    for timeout in ("1m", "0s"):
        await both.suspend_after(framework, timeout)
        durable = await both.outcomes(both.to_durable, framework, drawn)
        wrong = []
        for script, (one, asked), (other, asked_durably) in zip(drawn, plain, durable, strict=True):
            if is_an_answer(one):
                if other != one:
                    wrong += [f"{script}\nplain   {one}\ndurable {other}"]
                elif asked_durably.requests != asked.requests:
                    wrong += [f"{script}\n{difference(asked.requests, asked_durably.requests)}"]
        assert not wrong, f"suspended after {timeout}: " + "\n\n".join(wrong)
    answered = sum(is_an_answer(one) for one, _ in plain)
    assert answered > len(drawn) / 4, "the examples are too odd for this SDK"


def difference(plain: list[bytes], durable: list[bytes]) -> str:
    """The first difference between the requests."""
    for turn, (one, other) in enumerate(zip(plain, durable, strict=False)):
        if one != other:
            at = next(at for at in itertools.count() if one[: at + 1] != other[: at + 1])
            return f"request {turn}\nplain   {one[at - 80 : at + 200]!r}\ndurable {other[at - 80 : at + 200]!r}"
    return f"{len(plain)} requests of the plain agent, {len(durable)} of the durable one"
