"""The journal is exact: a durable agent sends the model, byte for byte, what the plain agent of the same SDK sends.

Hypothesis makes the model's turns, with every kind of item of each wire. Both agents get the same turns, the durable
one on a Restate that suspends it at every await, so that each request follows a replay, and on one that does not.

EXAMPLES=2000 uv run pytest tests/plain
"""

import asyncio
import itertools
import os
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.plain import generated
from tests.plain.conftest import EXAMPLES, Both
from tour.runtime.frameworks import FRAMEWORKS, Framework

AT_ONCE = 6
"""Scripts in one example, for each framework."""


def scripts(framework: Framework) -> st.SearchStrategy[list[list[Any]]]:
    turn = generated.turn(framework.wire, flat=framework.name == "pydantic_ai_agent")
    script = st.lists(turn, min_size=1, max_size=2).map(lambda turns: [*turns, generated.last(framework.wire)])
    return st.lists(script, min_size=AT_ONCE, max_size=AT_ONCE)


def is_an_answer(outcome: str) -> bool:
    return not outcome[:3].isdigit()


@pytest.fixture(params=["live", "replaying"])
def restate(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.timeout(0 if "EXAMPLES" in os.environ else 180)
@pytest.mark.parametrize("framework", FRAMEWORKS, ids=lambda framework: framework.name)
@settings(
    max_examples=EXAMPLES // AT_ONCE,
    derandomize="EXAMPLES" not in os.environ,
    phases=[Phase.explicit, Phase.generate],
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large],
)
@given(data=st.data())
async def test_the_requests_are_those_of_the_plain_agent(
    both: Both, framework: Framework, restate: str, data: st.DataObject
) -> None:
    await both.replaying(framework, "0s" if restate == "replaying" else "1m")
    chosen = data.draw(scripts(framework))
    outcomes = await asyncio.gather(
        *(to(framework, script) for script in chosen for to in (both.to_plain, both.to_durable))
    )
    wrong = []
    for script, (plain, asked), (durable, asked_durably) in zip(chosen, outcomes[::2], outcomes[1::2], strict=True):
        if is_an_answer(plain):
            if durable != plain:
                wrong += [f"{script}\nplain   {plain}\ndurable {durable}"]
            if asked_durably.requests != asked.requests:
                wrong += [f"{script}\n{difference(asked.requests, asked_durably.requests)}"]
    assert not wrong, "\n\n".join(wrong)


def difference(plain: list[bytes], durable: list[bytes]) -> str:
    """Where the requests differ first."""
    for turn, (one, other) in enumerate(zip(plain, durable, strict=False)):
        if one != other:
            at = next(at for at in itertools.count() if one[: at + 1] != other[: at + 1])
            return f"request {turn}\nplain   {one[at - 80 : at + 200]!r}\ndurable {other[at - 80 : at + 200]!r}"
    return f"{len(plain)} requests of the plain agent, {len(durable)} of the durable one"
