"""How often an agent reports. tests/conformance/test_streaming.py has what becomes of the reports."""

import asyncio

import httpx
import pytest

from durable import streaming
from durable.streaming import Reporter


async def recorded(monkeypatch: pytest.MonkeyPatch, problem: httpx.TransportError) -> bool:
    """Whether reports arrive at an ingress whose first answer is this problem, for longer than `UNREACHED`."""
    problems, arrived = [problem], False

    def answer(_: httpx.Request) -> httpx.Response:
        nonlocal arrived
        if problems:
            raise problems.pop()
        arrived = True
        return httpx.Response(202)

    client = httpx.AsyncClient(base_url="http://restate", transport=httpx.MockTransport(answer))
    monkeypatch.setattr(streaming, "_client", lambda: client)
    for name, value in (("_reached", False), ("_nobody_until", 0.0), ("UNREACHED", 0.0)):
        monkeypatch.setattr(streaming, name, value)
    reporter = Reporter("inv_slow", live=True)
    reporter.tokens(1, "attempt", 0, "x")
    await reporter.delivered()
    return arrived


async def test_an_ingress_that_is_slow_from_the_beginning_gets_all_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await recorded(monkeypatch, httpx.ReadTimeout("the disk is busy"))


async def test_an_absent_ingress_is_told_and_not_waited_for(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert not await recorded(monkeypatch, httpx.ConnectError("refused"))
    assert "Set RESTATE_INGRESS_URL" in capsys.readouterr().err


async def test_reports_are_rare_until_somebody_listens(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: dict[str, list[str]] = {}

    async def take(path: str, reports: list[dict[str, str]]) -> None:
        sent.setdefault(path, []).append("".join(report["text"] for report in reports))

    monkeypatch.setattr(streaming, "_sent", take)

    async def batches(invocation: str, *, live: bool) -> list[str]:
        reporter = Reporter(invocation, live)
        for at in range(60):
            reporter.tokens(1, "attempt", at, "x")
            await asyncio.sleep(0.02)
        await reporter.delivered()
        (taken,) = (batches for path, batches in sent.items() if invocation in path)
        return taken

    heard, unheard = await asyncio.gather(batches("inv_heard", live=True), batches("inv_alone", live=False))
    assert "".join(heard) == "".join(unheard) == "x" * 60
    assert len(unheard) < len(heard)
