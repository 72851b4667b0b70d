"""Restate's turnstile of tool calls, as Restate's integrations use it, neither freezes nor hangs."""

import asyncio

import pytest
from restate import TerminalError
from restate.exceptions import SdkInternalException
from restate.ext.turnstile import Turnstile

import durable.turnstile


@pytest.mark.parametrize("ids", [["a", "a"], ["a", "b", "a"], ["", ""]])
def test_ids_that_repeat_end_the_invocation(ids: list[str]) -> None:
    with pytest.raises(TerminalError, match="the same id"):
        Turnstile(ids)


async def test_calls_go_one_after_the_other() -> None:
    turnstile, order = Turnstile(["a", "b", "c"]), []

    async def call(id: str) -> None:
        await turnstile.wait_for(id)
        order.append(id)
        await asyncio.sleep(0)
        turnstile.allow_next_after(id)

    await asyncio.gather(call("c"), call("a"), call("b"))
    assert order == ["a", "b", "c"]


async def test_a_call_that_is_never_started_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable.turnstile, "PATIENCE", 0.05)
    turnstile = Turnstile(["never", "b"])
    async with asyncio.timeout(5):
        await turnstile.wait_for("b")


async def test_a_call_that_takes_long_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(durable.turnstile, "PATIENCE", 0.05)
    turnstile = Turnstile(["a", "b"])
    await turnstile.wait_for("a")
    waiting = asyncio.create_task(turnstile.wait_for("b"))
    await asyncio.sleep(0.3)
    assert not waiting.done()
    turnstile.allow_next_after("a")
    await asyncio.wait_for(waiting, 5)


async def test_a_failure_ends_the_calls_after_it() -> None:
    turnstile = Turnstile(["a", "b"])
    await turnstile.wait_for("a")
    turnstile.cancel_all_after("a")
    with pytest.raises(SdkInternalException):
        await turnstile.wait_for("b")
