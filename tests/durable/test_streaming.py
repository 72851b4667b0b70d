"""How often an agent reports. tests/conformance/test_streaming.py has what becomes of the reports."""

import asyncio

import pytest

from durable import streaming
from durable.streaming import Reporter


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
