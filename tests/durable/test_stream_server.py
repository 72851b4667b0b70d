"""The stream server's answers when Restate fails. test_streaming.py has all other cases."""

import httpx
import pytest

from durable import stream_server
from offline_model.server import serve_in_thread


async def answer(method: str, ingress: str, transport: httpx.AsyncBaseTransport | None = None) -> httpx.Response:
    async with (
        httpx.AsyncClient(base_url=ingress, transport=transport) as restate,
        httpx.AsyncClient(
            transport=httpx.ASGITransport(stream_server.app(restate)), base_url="http://localhost:8090"
        ) as client,
    ):
        return await client.request(method, "/stream/Claims/run" if method == "POST" else "/stream/inv_1")


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_restate_is_not_there(method: str) -> None:
    answered = await answer(method, "http://127.0.0.1:1")
    assert answered.status_code == 503
    assert "Restate does not answer on http://127.0.0.1:1" in answered.json()["message"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_reading_the_log_is_cancelled(method: str) -> None:
    transport = httpx.MockTransport(lambda request: httpx.Response(409, json={"message": "cancelled"}))
    answered = await answer(method, "http://restate", transport)
    assert answered.status_code == 503
    assert "409 Conflict" in answered.json()["message"]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_restate_does_not_know_the_log(method: str) -> None:
    answered = await answer(method, serve_in_thread())  # it knows nothing, and answers 404
    assert answered.status_code == 503
    assert "uv run tour register http://localhost:8090" in answered.json()["message"]
