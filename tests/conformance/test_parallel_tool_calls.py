"""Parallel tool calls, alike in all agents: they overlap, they are deterministic, and finished work is kept.

The claim cases use the agents of `parallel_tool_calls_agent.py`. The others use an agent of each framework whose tools
run the programs (tests/durable/programs.py) that a scripted model asks for.
"""

import asyncio
import json
import os
import time
import uuid
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from durable.turnstile import PATIENCE
from lab.ledger import Fault
from tests.conformance.cases import AGENTS, Tagged, decide
from tests.conformance.conftest import SERVERS
from tests.durable import generated
from tour.runtime import journal, stack
from tour.runtime.frameworks import TOOL_CALLS, Framework, Pattern
from tour.runtime.journal import Invocation
from tour.runtime.stack import CHECKS, Stack

PROGRAMS = Pattern("programs", "", "twins/programs.py", "Programs")

both = pytest.mark.parametrize("programs", list(SERVERS), indirect=True)
live = pytest.mark.parametrize("programs", ["live"], indirect=True)


def only(*names: str) -> pytest.MarkDecorator:
    """A case for features of some SDKs only."""
    return pytest.mark.parametrize(
        "framework", [each for each in AGENTS if each.name in names], ids=lambda each: each.name
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def claims(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    async with stack.running(
        tmp_path_factory.mktemp("claims"),
        frameworks=AGENTS,
        pattern=TOOL_CALLS,
    ) as running:
        yield running


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def programs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stack]:
    env = {"RESTATE_DEFAULT_RETRY_POLICY__INITIAL_INTERVAL": "50ms", **SERVERS[request.param]}
    async with stack.running(
        tmp_path_factory.mktemp("programs"),
        server_env=env,
        frameworks=AGENTS,
        pattern=PROGRAMS,
    ) as running:
        yield running


async def test_the_model_asks_for_three_tools_at_once(claims: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged()
    claims.lab.plan(*(Fault(check, "delay", 0.5, about=claim.reason) for check in CHECKS))
    answer, invocation = await decide(claims, framework, claim)
    assert answer.startswith("Approved:")
    assert Counter(step.name for step in invocation.checks) == Counter(CHECKS)
    assert len(invocation.model_calls) == 2
    assert invocation.parallelism > 2


async def test_only_the_check_that_fails_is_retried(claims: Stack, framework: Framework, tagged: Tagged) -> None:
    claim = tagged()
    claims.lab.plan(Fault("cost", "fail", times=2, about=claim.reason), Fault("fraud", "delay", 1, about=claim.reason))
    answer, invocation = await decide(claims, framework, claim)
    assert answer.startswith("Approved:")
    assert started(claims, invocation) == {"eligibility": 1, "cost": 3, "fraud": 1}


def started(running: Stack, invocation: Invocation) -> Counter[str]:
    return Counter(e.step for e in running.lab.ledger(invocations=[invocation.id]) if e.event == "start")


def repeated(running: Stack, invocation: Invocation) -> set[str]:
    return {step for step, count in started(running, invocation).items() if count > 1}


@dataclass
class Asked:
    """One sent prompt: its tag and its invocation."""

    running: Stack
    tag: str
    id: str

    async def answer(self) -> tuple[str, Invocation]:
        async with asyncio.timeout(60):
            answer = await self.running.answer(self.id)
        return answer, (await journal.read(self.running.admin, self.id))[self.id]


async def ask(
    running: Stack,
    framework: Framework,
    *calls: Any,
    faults: tuple[Fault, ...] = (),
    inner: tuple[Any, ...] = (),
    **options: Any,
) -> Asked:
    """Let the model ask for these calls: a program for `work`, or a pair of a tool's name and its arguments."""
    tag = uuid.uuid4().hex

    def say(about: str, turn: int, **said: Any) -> Fault:
        return Fault("model", "say", about=about, turn=turn, detail=json.dumps(said))

    def written(call: Any) -> dict[str, str]:
        name, arguments = call if isinstance(call, tuple) else ("work", {"program": json.dumps(call)})
        text = arguments if isinstance(arguments, str) else json.dumps({"tag": tag, **arguments})
        return {"name": name, "arguments": text}

    running.lab.plan(
        *(replace(fault, about=tag) for fault in faults),
        say(f"outer {tag}", 0, calls=[written(call) for call in calls]),
        say(f"outer {tag}", 1, text="done"),
        say(f"inner {tag}", 0, calls=[written(call) for call in inner]),
        say(f"inner {tag}", 1, text="inner done"),
    )
    path = framework.path(tag, PROGRAMS)
    body = {"prompt": f"outer {tag}", **options}
    response = await running.ingress.post(f"/restate/send/{path}", json=body)
    return Asked(running, tag, response.json()["invocationId"])


def steps(tool: str, number: int = 2) -> list[Any]:
    return [["step", f"{tool}{at}"] for at in range(1, number + 1)]


def takes(**seconds: float) -> tuple[Fault, ...]:
    return tuple(Fault(step, "delay", value) for step, value in seconds.items())


AGAIN = (["step", "last"],)
"""A step at the end of the slowest tool: its failure replays everything, in the original order."""
MANY = (
    [["gather", ["a1", "a2"]], ["step", "a3"]],
    [["select", "b1", 0.2], ["step", "b2"]],
    [["call", "c1"], ["sleep", 0.1], ["step", "c2"]],
    [["sleep", 0.8], *AGAIN],
)


@both
async def test_steps_gathers_selects_timers_and_calls(programs: Stack, framework: Framework) -> None:
    faults = (*takes(a1=0.3, b1=0.5, c1=0.2), Fault("last", "fail", times=1))
    asked = await ask(programs, framework, *MANY, faults=faults)
    answer, invocation = await asked.answer()
    assert answer == "done"
    assert repeated(programs, invocation) <= {"last", "b1"}
    assert not [failure for failure in invocation.failures if "mismatch" in failure.message]


@both
async def test_out_of_order_completion_is_replayed(
    programs: Stack, framework: Framework, request: pytest.FixtureRequest
) -> None:
    faults = (*takes(a1=0.6, b1=0.4, c1=0.2), Fault("last", "fail", times=1))
    asked = await ask(programs, framework, [*steps("a"), *AGAIN], steps("b"), steps("c"), faults=faults)
    answer, invocation = await asked.answer()
    assert answer == "done"
    assert repeated(programs, invocation) == {"last"}
    if request.node.callspec.params["programs"] == "live":  # else the server may have suspended all of them meanwhile
        begun = [entry.step for entry in programs.lab.ledger(invocations=[invocation.id]) if entry.event == "start"]
        assert [step for step in begun if step in ("a2", "b2", "c2")] == ["c2", "b2", "a2"], "the first to end goes on"


@live
@pytest.mark.parametrize("position", [0, 1, 2])
@pytest.mark.parametrize("kind", ["fail", "terminal"])
async def test_one_tool_fails(programs: Stack, framework: Framework, kind: Any, position: int) -> None:
    calls = [steps("a"), steps("b")]
    calls.insert(position, steps("bad"))
    asked = await ask(programs, framework, *calls, faults=(*takes(a1=0.4, b1=0.6), Fault("bad1", kind, 422)))
    answer, invocation = await asked.answer()
    if kind == "fail":
        assert answer == "done"
        assert repeated(programs, invocation) == {"bad1"}
    else:
        assert answer.startswith("422: ")
        assert not repeated(programs, invocation)
    assert {"a2", "b2"} <= set(started(programs, invocation))


UNUSUAL: dict[str, tuple[Any, ...]] = {
    "two of three": (steps("a"), steps("b")),
    "one twice": (steps("a"), steps("b"), steps("a")),
    "an unknown tool first": (("approve", {}), steps("a"), steps("b")),
    "an unknown tool last": (steps("a"), steps("b"), ("approve", {})),
    "invalid JSON": (steps("a"), ("work", "{not json"), steps("b")),
    "wrong arguments": (("work", {"program": 7}), steps("a"), ("work", {}), steps("b")),
    "an error for the model": (steps("a"), ("refuse", {}), steps("b")),
}


@both
@pytest.mark.parametrize("unusual", UNUSUAL)
async def test_what_a_model_may_ask_for(programs: Stack, framework: Framework, unusual: str) -> None:
    asked = await ask(programs, framework, *UNUSUAL[unusual], faults=takes(a1=0.1))
    answer, _ = await asked.answer()
    assert answer == "done" or answer.startswith("500: ")


@both
@only("openai_agents", "pydantic_ai_agent", "langchain_agent")
@pytest.mark.parametrize("position", [0, 1, 2])
async def test_a_call_that_the_sdk_does_not_run_is_not_waited_for(
    programs: Stack, framework: Framework, position: int
) -> None:
    calls: list[Any] = [steps("a"), steps("b")]
    calls.insert(position, ("never", {}))
    started_at = time.monotonic()
    asked = await ask(programs, framework, *calls, faults=takes(a1=0.2), never=True)
    _, invocation = await asked.answer()
    assert started(programs, invocation) == Counter(["a1", "a2", "b1", "b2"])
    assert time.monotonic() - started_at < PATIENCE


@both
@only("openai_agents")
@pytest.mark.parametrize("word", ["please", "now"])
async def test_a_call_that_may_need_an_approval(programs: Stack, framework: Framework, word: str) -> None:
    calls = (("perhaps", {"word": word}), steps("a"), steps("b"))
    asked = await ask(programs, framework, *calls, faults=takes(a1=0.2), never=True)
    answer, invocation = await asked.answer()
    assert started(programs, invocation) == Counter(["a1", "a2", "b1", "b2"])
    assert (answer == "done") == (word == "now")


@both
async def test_an_agent_as_a_tool(programs: Stack, framework: Framework) -> None:
    inner = ([["gather", ["x1", "x2"]], ["step", "x3"]], [*steps("y"), *AGAIN])
    faults = (*takes(a1=0.4, x1=0.3, y1=0.2), Fault("last", "fail", times=1))
    asked = await ask(programs, framework, steps("a"), ("delegate", {}), steps("b"), inner=inner, faults=faults)
    answer, invocation = await asked.answer()
    assert answer == "done"
    assert repeated(programs, invocation) == {"last"}
    assert {"a2", "b2", "x3", "y2"} <= set(started(programs, invocation))


@live
async def test_cancelled_in_mid_batch(programs: Stack, framework: Framework) -> None:
    asked = await ask(programs, framework, steps("a"), [["step", "b1"], ["sleep", 60]], [["sleep", 60]])
    await asyncio.sleep(1)
    await programs.admin.patch(f"/invocations/{asked.id}/cancel")
    answer, _ = await asked.answer()
    assert answer.startswith("409: ")


@live
@pytest.mark.parametrize("limit", [1, 2])
async def test_fewer_at_a_time(programs: Stack, framework: Framework, limit: int) -> None:
    faults = (*takes(a1=0.2, b1=0.1), Fault("last", "fail", times=1))
    calls = [steps("a"), steps("b"), steps("c"), [*steps("d"), *AGAIN]]
    answer, invocation = await (await ask(programs, framework, *calls, limit=limit, faults=faults)).answer()
    assert answer == "done"
    assert repeated(programs, invocation) == {"last"}


@live
@only("openai_agents")
async def test_a_guardrail_rejects_one_call(programs: Stack, framework: Framework) -> None:
    rejected = ("work", {"program": "weapon"})
    asked = await ask(programs, framework, steps("a"), rejected, steps("b"), faults=takes(a1=0.3))
    answer, invocation = await asked.answer()
    assert answer == "done"
    assert not repeated(programs, invocation)


@live
@only("pydantic_ai_agent")
async def test_what_pydantic_ai_does_by_itself_ends_in_a_journal_mismatch(
    programs: Stack, framework: Framework
) -> None:
    """Two tools of two steps each finish out of order, and then a step fails: the case that `ToolCalls` is for."""
    faults = (*takes(a1=0.6, b1=0.2), Fault("last", "fail", times=1))
    asked = await ask(programs, framework, [*steps("a"), *AGAIN], steps("b"), faults=faults, naive=True)
    async with asyncio.timeout(30):
        while True:
            failures = (await journal.read(programs.admin, asked.id))[asked.id].failures
            if any("name: b2 != a2" in failure.message for failure in failures):
                break
            await asyncio.sleep(0.1)
    await programs.admin.patch(f"/invocations/{asked.id}/kill")


@live
@pytest.mark.in_turn(1)
@pytest.mark.parametrize("step", ["a1", "a2", "b1", "b2"])
async def test_killed_at_every_point(programs: Stack, step: str) -> None:
    """Kill in each step of two tools with two steps each; all frameworks at once, because restarts take long.

    The kill comes after a step's work, before its result is in the journal, which is then as before the work.
    """

    async def killed(framework: Framework) -> None:
        async with programs.agents[framework.name].kept():
            crash = Fault(step, "crash-after")
            asked = await ask(programs, framework, steps("a"), steps("b"), faults=(crash, *takes(b1=0.05)))
            answer, invocation = await asked.answer()
            assert answer == "done", framework
            assert started(programs, invocation)[step] == 2

    await asyncio.gather(*map(killed, AGENTS))


@both
@settings(
    max_examples=int(os.environ.get("EXAMPLES", 4)),
    derandomize="EXAMPLES" not in os.environ,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(batch=st.lists(generated.programs(), min_size=2, max_size=4))
async def test_any_programs_replay_to_the_same_journal(programs: Stack, batch: list[Any]) -> None:
    """Beside them, a tool fails when they have probably ended, so that everything is replayed."""
    written, faults = generated.named(batch)
    may_give_up = any(fault.kind == "terminal" for fault in faults)

    async def same(framework: Framework) -> None:
        again = [["sleep", 0.8], *AGAIN]
        asked = await ask(programs, framework, *written, again, faults=(*faults, Fault("last", "fail", times=1)))
        answer, invocation = await asked.answer()
        assert answer == "done" or (may_give_up and answer.startswith("418: ")), (framework.name, answer)
        assert not [failure for failure in invocation.failures if "mismatch" in failure.message], framework.name

    await asyncio.gather(*map(same, AGENTS))
