"""A storm as data: the steps of invocations, their failures, and the kills, all from a seed."""

import random
from collections.abc import Sequence
from typing import Literal, NamedTuple

from pydantic import BaseModel

FAILING = 1 / 100
"""The share of the steps that fail at least once."""

SLOW = 1 / 4
"""The share of the steps that take time, so that others fail, and processes are killed, while they are in flight."""

STEPS_PER_KILL = 4_000

SERVER = -1
"""The server as the victim of a kill; agents are numbered from 0."""


class Step(NamedTuple):
    """One durable step: the number of failures before it succeeds, and its duration each time, in ms."""

    id: int
    failures: int = 0
    milliseconds: int = 0

    @property
    def blocks(self) -> bool:
        """Whether its action is a plain function, which runs in a thread."""
        return self.id % 16 == 15


class Invocation(BaseModel, frozen=True):
    """The request to an agent: parallel tool calls, each with sequential fan-outs, each of which has steps."""

    number: int
    handler: Literal["fan_out", "tool_calls"]
    calls: list[list[list[Step]]]

    @property
    def steps(self) -> list[Step]:
        return [step for call in self.calls for fan_out in call for step in fan_out]


class Kill(NamedTuple):
    """A `kill -9` of the server or an agent, when this share of the steps is done."""

    part: float
    victim: int


class Storm(BaseModel, frozen=True):
    invocations: list[Invocation]
    kills: list[Kill]

    @property
    def steps(self) -> list[tuple[int, Step]]:
        """Its steps, each with the number of its invocation."""
        return [(invocation.number, step) for invocation in self.invocations for step in invocation.steps]

    def of(self, kept: Sequence[tuple[int, Step] | Kill]) -> "Storm":
        """The same storm with only these of its steps and kills."""
        remain = set(kept)

        def calls(invocation: Invocation) -> list[list[list[Step]]]:
            number = invocation.number
            fewer = [[[s for s in steps if (number, s) in remain] for steps in call] for call in invocation.calls]
            return [call for call in ([steps for steps in call if steps] for call in fewer) if call]

        smaller = [i.model_copy(update={"calls": calls(i)}) for i in self.invocations]
        return Storm(
            invocations=[invocation for invocation in smaller if invocation.calls],
            kills=[kill for kill in self.kills if kill in remain],
        )


def plan(steps: int, seed: str, agents: int) -> Storm:
    """The storm of this seed, with at least this number of steps. The same arguments give the same storm."""
    rng = random.Random(seed)
    invocations: list[Invocation] = []
    planned = 0
    while planned < steps:
        invocations.append(_invocation(len(invocations), rng))
        planned += len(invocations[-1].steps)
    count = max(4, steps // STEPS_PER_KILL)
    victims = [SERVER if at % 4 == 1 else rng.randrange(agents) for at in range(count)]
    kills = [Kill((at + rng.random()) / (count + 0.5), victim) for at, victim in enumerate(victims)]
    return Storm(invocations=invocations, kills=kills)


def _invocation(number: int, rng: random.Random) -> Invocation:
    def steps(count: int) -> list[Step]:
        return [_step(next(ids), rng) for _ in range(count)]

    ids = iter(range(1000))
    if number % 2:
        calls = [[steps(rng.randint(50, 100))]]
        return Invocation(number=number, handler="fan_out", calls=calls)
    calls = [[steps(rng.choice((1, 2, 4, 6))) for _ in range(rng.randint(2, 4))] for _ in range(rng.randint(6, 9))]
    return Invocation(number=number, handler="tool_calls", calls=calls)


def _step(id: int, rng: random.Random) -> Step:
    failures = rng.choice((1, 1, 1, 2)) if rng.random() < FAILING else 0
    return Step(id, failures, rng.randint(1, 40) if rng.random() < SLOW else 0)
