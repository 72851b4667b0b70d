"""A freshly started server answers no queries yet."""

from collections.abc import Iterator

import httpx
import pytest

from tour.runtime import journal
from tour.runtime.errors import TourError


def admin(answers: Iterator[httpx.Response]) -> httpx.AsyncClient:
    return httpx.AsyncClient(base_url="http://restate", transport=httpx.MockTransport(lambda request: next(answers)))


async def test_a_query_is_repeated_until_the_server_finds_its_partition() -> None:
    # What Restate 1.7.12 said within a second after a restart; the last one came after a first answer.
    said = [
        "node lookup for partition 0 failed",
        "partition 0 doesn't exist on this node, this is benign",
        "node N1:8 was shut down or removed",
    ]
    answers = iter([*(httpx.Response(500, text=text) for text in said), httpx.Response(200, json={"rows": []})])
    async with admin(answers) as client:
        assert await journal.query(client, "SELECT") == []
    assert next(answers, None) is None


async def test_a_wrong_query_is_not() -> None:
    async with admin(iter([httpx.Response(500, text="non valid invocation id")])) as client:
        with pytest.raises(httpx.HTTPStatusError):
            await journal.query(client, "SELECT")


async def test_it_is_told_when_it_never_does() -> None:
    async with admin(iter([httpx.Response(500, text="no leader")] * 2)) as client:
        with pytest.raises(TourError, match="no leader"):
            await journal.ready(client, timeout=0)
