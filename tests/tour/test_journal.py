"""A freshly started server answers no queries yet."""

from collections.abc import Iterator

import httpx
import pytest

from tour.runtime import journal
from tour.runtime.errors import TourError


def admin(answers: Iterator[httpx.Response]) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url="http://restate", transport=httpx.MockTransport(lambda request: next(answers)))


async def test_it_is_ready_when_it_answers() -> None:
    answers = iter([httpx.Response(500), httpx.Response(500), httpx.Response(200, json={"rows": []})])
    async with admin(answers) as client:
        await journal.ready(client)
    assert next(answers, None) is None


async def test_it_is_told_when_it_never_does() -> None:
    async with admin(iter([httpx.Response(500, text="no leader")] * 2)) as client:
        with pytest.raises(TourError, match="no leader"):
            await journal.ready(client, timeout=0)
