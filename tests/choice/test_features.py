"""What each framework brings on Restate, as the matrix of docs/comparison.md says: each cell is seen here.

The programs are `*/twins/features.py` and `.ts`. The server suspends at every await, so each of them is replayed.
"""

import asyncio
import json
import os
import re
import signal
from collections.abc import Awaitable, Callable
from typing import TypeAlias

import pytest

from shared.serving import DRAIN
from tests import wires
from tests.choice.conftest import FEATURES, World
from tests.choice.matrix import MATRIX
from tour.runtime.frameworks import BY_NAME, FRAMEWORKS, Framework

Seen: TypeAlias = str
"""What a cell must say: `yes`, or `no: ` and why."""

BY_HAND = {
    "structured output": {"restate_loop", "typescript_loop"},
    "MCP tools": {"langchain_agent", "restate_loop", "vercel_ai", "typescript_loop"},
    "sessions": {"pydantic_ai_agent", "langchain_agent", "restate_loop", "vercel_ai", "typescript_loop"},
    "approvals": {"restate_loop", "typescript_loop"},
    "guardrails": {"restate_loop", "typescript_loop"},
}
"""The programs that do without a feature of their SDK, in about ten lines."""


def text(framework: Framework, said: str) -> object:
    return wires.turn(framework.wire, said)


def call(framework: Framework, tool: str, **arguments: object) -> object:
    id = f"c{len(str(arguments))}"
    return wires.turn(framework.wire, calls=[(id, tool, json.dumps(arguments))])


async def structured(world: World, framework: Framework) -> Seen:
    decision = {"verdict": "approved", "reason": "seen"}
    tag, case = world.case(text(framework, json.dumps(decision)))
    assert await world.asked(framework, "structured", tag, tag) == decision
    assert b"json_schema" in case.requests[0] or b"responseSchema" in case.requests[0]
    return "yes"


async def mcp(world: World, framework: Framework) -> Seen:
    tag, case = world.case(call(framework, "find", tag=framework.name), text(framework, "done"))
    answer = await world.asked(framework, "mcp", tag, tag)
    if "tool_for_tool_def() missing 1 required keyword-only argument" in answer:
        return "no: it fails"
    assert answer == "done"
    assert b"found it" in case.requests[-1]
    return "yes" if world.calls[framework.name] == 1 else "no: a replay calls again"


async def sessions(world: World, framework: Framework) -> Seen:
    tag, case = world.case(text(framework, "hello"), text(framework, "Ada"))
    assert await world.asked(framework, "sessions", f"{tag} I am Ada", tag) == "hello"
    assert await world.asked(framework, "sessions", f"{tag} Who am I?", tag) == "Ada"
    assert b"I am Ada" in case.requests[-1]
    return "yes"


HANDOFFS = {
    "openai_agents": ("transfer_to_specialist", {}),
    "google_adk": ("transfer_to_agent", {"agent_name": "specialist"}),
}
ASKED = ("ask_specialist", {"question": "case CASE"})


async def handoffs(world: World, framework: Framework) -> Seen:
    tool, arguments = HANDOFFS.get(framework.name, ASKED)
    tag, case = world.case(call(framework, tool, **arguments), text(framework, "done"))
    assert await world.asked(framework, "handoffs", tag, tag) == "done"
    assert b"You are the specialist" in case.requests[1]
    assert len(case.paths) == len(case.requests), "no finished model call is made again"
    return "yes: as a tool" if (tool, arguments) == ASKED else "yes"


async def approvals(world: World, framework: Framework) -> Seen:
    tag, case = world.case(call(framework, "pay", amount=5), text(framework, "done"))
    id = await world.begin(framework, "approvals", tag, tag)
    waiting = await world.waiting(framework, tag)
    assert len(case.requests) == 1
    await world.running.ingress.post(f"/restate/awakeables/{waiting}/resolve", json=True)
    answer = await world.answer(id)
    if "Error in plugin 'restate_plugin' during 'before_tool_callback'" in answer:
        return "no: it fails"
    assert answer == "done"
    assert b"paid 5" in case.requests[-1]
    assert len(case.paths) == len(case.requests) == 2
    return "yes"


async def guardrails(world: World, framework: Framework) -> Seen:
    tag, _ = world.case(text(framework, "a weapon"))
    assert await world.asked(framework, "guardrails", f"{tag} a weapon", tag) == "422: no weapons"
    tag, _ = world.case(text(framework, "a flower"))
    assert await world.asked(framework, "guardrails", f"{tag} a flower", tag) == "a flower"
    return "yes"


MODELS = {
    "openai_agents": ("gpt-5.4", "litellm/gemini/gemini-2.5-flash"),
    "google_adk": ("gemini-2.5-flash", "openai/gpt-5.4"),
    "pydantic_ai_agent": ("openai-responses:gpt-5.4", "google:gemini-2.5-flash"),
    "langchain_agent": ("openai:gpt-5.4", "google_genai:gemini-2.5-flash"),
    "restate_loop": ("gpt-5.4", "gemini-2.5-flash"),
    "vercel_ai": ("openai:gpt-5.4", "google:gemini-2.5-flash"),
    "typescript_loop": ("gpt-5.4", "gemini-2.5-flash"),
}
"""The names of a model of the framework's own provider, and of another one's."""


async def providers(world: World, framework: Framework) -> Seen:
    own, other = MODELS[framework.name]
    tag, _ = world.case(text(framework, "hello"))
    assert await world.asked(framework, "providers", f"{own} {tag}", tag) == "hello"
    one_wire = framework.name.endswith("_loop")
    tag, case = world.case(text(framework, "hello") if one_wire else wires.turn("Gemini", "hello"))
    answer = await world.asked(framework, "providers", f"{other} {tag}", tag)
    if answer == "hello":
        return "yes" if "generateContent" in case.paths[0] else "no: one wire"
    if package := re.search(r"pip install '?([\w\[\]-]+)", answer):
        return f"no: `{package[1]}`"
    assert "No such provider: google" in answer
    return "no: in code"


async def caching(world: World, framework: Framework) -> Seen:
    """The requests with a replay at each await are, byte for byte, those without a replay."""
    asked = []
    for timeout in ("1m", "0s"):
        service = f"/services/{framework.service(FEATURES)}"
        changed = await world.running.admin.patch(service, json={"inactivity_timeout": timeout})
        changed.raise_for_status()
        script = (
            call(framework, "look_up", city="Rome"),
            call(framework, "look_up", city="Paris"),
            text(framework, "done"),
        )
        tag, case = world.case(*script)
        assert await world.asked(framework, "caching", tag, tag) == "done"
        assert len(case.paths) == len(case.requests) == 3
        asked.append(case.requests)
    return "yes" if asked[0] == asked[1] else "no"


PROBES: dict[str, Callable[[World, Framework], Awaitable[Seen]]] = {
    "structured output": structured,
    "MCP tools": mcp,
    "sessions": sessions,
    "handoffs or sub-agents": handoffs,
    "approvals": approvals,
    "guardrails": guardrails,
    "provider switch without code": providers,
    "prompt caching kept on a replay": caching,
}


@pytest.mark.parametrize("feature", PROBES)
async def test_the_cells_say_what_is_seen(world: World, feature: str) -> None:
    async def of(framework: Framework) -> Seen:
        seen = await PROBES[feature](world, framework)
        return "no: by hand" if seen == "yes" and framework.name in BY_HAND.get(feature, ()) else seen

    seen = await asyncio.gather(*map(of, FRAMEWORKS))
    assert MATRIX[feature] == dict(zip(BY_NAME, seen, strict=True))


async def test_after_an_agent_as_a_tool_no_model_call_is_in_flight(world: World) -> None:
    """On SIGTERM the agent ends at once: it does not wait `DRAIN` seconds for a call that has ended in the tool."""
    framework = BY_NAME["restate_loop"]
    await handoffs(world, framework)
    agent = world.running.agents[framework.name]
    os.kill(agent.process.pid, signal.SIGTERM)
    async with asyncio.timeout(DRAIN / 2):
        assert await agent.process.child.wait() == 0
    await agent.restart()
