"""Shared by the conformance modules, with the agents to test: all agents of the tour, or the one in `TOUR_AGENT`.

`TOUR_PATTERN=specialists`, `approval` or `streaming` runs the cases on the agents of that pattern instead of the
documented one.
"""

import json
import os
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from durable.streaming import LIVE
from lab.ledger import Entry
from offline_model.faults import digest
from shared.claims import InsuranceClaim, sample_claims
from tour.runtime import journal
from tour.runtime.frameworks import (
    APPROVAL,
    BY_NAME,
    FAN_OUT,
    FRAMEWORKS,
    ROOT,
    SPECIALISTS,
    STREAMING,
    Framework,
    Pattern,
)
from tour.runtime.journal import Invocation
from tour.runtime.stack import Stack


def _under_test(agent: str, pattern: Pattern = FAN_OUT) -> tuple[Sequence[Framework], Pattern]:
    """The frameworks and their agents; `agent` is `NAME=FILE`, the name of a framework of the tour, or empty.

    An unknown name is a new framework, whose service has no key.
    """
    if not agent:
        return FRAMEWORKS, pattern
    name, _, file = agent.partition("=")
    if not file and name not in BY_NAME:
        raise pytest.UsageError(f"TOUR_AGENT is NAME=FILE, and not {agent}")
    framework = BY_NAME.get(name, Framework(ROOT / name, name, name, ""))
    return [framework], replace(FAN_OUT, file=str(Path(file).resolve())) if file else pattern


PATTERNS = {pattern.name: pattern for pattern in (FAN_OUT, SPECIALISTS, APPROVAL, STREAMING)}
AGENTS, PATTERN = _under_test(os.environ.get("TOUR_AGENT", ""), PATTERNS[os.environ.get("TOUR_PATTERN", FAN_OUT.name)])

MODEL_CALLS = 8 if PATTERN == SPECIALISTS else 2
"""The model calls of a claim: each agent calls the model before its tool and after it."""

STRANGE = "TOUR_AGENT" in os.environ

LIMIT = 25.0 if STRANGE else 150.0
"""Seconds that a case waits for an answer: an unknown agent may hang in many cases; five restarts at once are slow."""

IN_TIME = 20.0 if STRANGE else 30.0
"""Seconds for a claim's answer while its agent keeps running; a claim that hangs is retried after a minute."""

promise = pytest.mark.promise
"""Marks the promise that a case tests: one of the names in grading.py."""

Tagged = Callable[..., InsuranceClaim]
"""The fixture `tagged`: the function of this name."""

live = pytest.mark.parametrize("running", ["live"], indirect=True)
"""Marks long cases that are the same on the replaying server: they run only on the default server."""


def tagged(sample: str = "broken-leg") -> InsuranceClaim:
    """A claim whose reason has a unique text, so that a fault can target it."""
    return sample_claims()[sample].model_copy(update={"reason": f"case {uuid.uuid4().hex}"})


def to_the_claim_agent(claim: InsuranceClaim) -> str:
    """A text that is only in the prompt of the claim agent, and in no specialist's."""
    if PATTERN != SPECIALISTS:
        return claim.reason
    return f"Claim: {claim.model_dump_json()}".partition(',"amount"')[0]  # which JavaScript writes in another way


def asked(running: Stack, claim: InsuranceClaim) -> list[Entry]:
    """The ledger's entries of the model calls of this claim."""
    return running.lab.ledger(invocations=[digest(f"Claim: {claim.model_dump_json()}")])


async def send(running: Stack, framework: Framework, claim: InsuranceClaim, headers: Mapping[str, str] = LIVE) -> str:
    """Send a claim in a new session; returns the id of its invocation. Usually somebody listens to its events."""
    key = claim.reason[:40]
    return await running.submit(framework, claim, key=key, session=key, headers=headers)


async def decide(running: Stack, framework: Framework, claim: InsuranceClaim) -> tuple[str, Invocation]:
    """The agent's answer to a claim in a new session, and the claim's journal."""
    id = await send(running, framework, claim)
    answer = await running.answer(id)
    return answer, (await journal.read(running.admin, id))[id]


def tool_shown(running: Stack, framework: Framework) -> tuple[str, dict[str, Any]] | None:
    """The name and the schema of the tool in the first model call; None before that call."""
    calls = [
        entry for entry in running.lab.ledger(framework.prefix()) if (entry.step, entry.event) == ("model", "start")
    ]
    return next(iter(json.loads(calls[0].detail)["tools"].items())) if calls else None
