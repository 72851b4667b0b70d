"""The pauses for an overloaded provider, and the answers that no SDK can read."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest
from restate import TerminalError

from shared import llm


@pytest.mark.parametrize(("said", "expected"), [("2", 2), ("0.5", 0.5), ("-1", 0), ("soon", 0), ("", 0)])
def test_retry_after_is_a_number_of_seconds(said: str, expected: float) -> None:
    assert llm._retry_after(httpx2.Response(429, headers={"retry-after": said})) == expected


@pytest.mark.parametrize(("ahead", "expected"), [(100, 100), (-100, 0)])
def test_retry_after_may_be_a_date(ahead: int, expected: float) -> None:
    said = format_datetime(datetime.now(UTC) + timedelta(seconds=ahead))
    waits = llm._retry_after(httpx2.Response(429, headers={"retry-after": said}))
    assert waits == pytest.approx(expected, abs=10 if expected else 0)


def test_a_date_without_a_zone_is_in_utc() -> None:
    assert llm._retry_after(httpx2.Response(429, headers={"retry-after": "Wed, 21 Oct 2015 07:28:00"})) == 0


async def looked_at(body: bytes, status: int = 200, asked: bytes = b"{}") -> httpx2.Response:
    response = httpx2.Response(status, content=body, request=httpx2.Request("POST", "http://model", content=asked))
    await llm._look_at(response)
    return response


@pytest.mark.parametrize("half", [rb"\ud83d", rb"\udc94", b"\xed\xa0\xbd"])
async def test_half_an_emoji_is_mended(half: bytes) -> None:
    response = await looked_at(b'{"choices": ["no ' + half + rb' and \ud83d\udc94 and \\ud83d"]}')
    assert response.json()["choices"][0] in (
        f"no {chr(0xFFFD)} and 💔 and \\ud83d",
        f"no {chr(0xFFFD) * 3} and 💔 and \\ud83d",
    )


@pytest.mark.parametrize("body", [b"", b"null", b"{}", b"[]", b'{"choices": []}', b'{"error": {"code": 1}}', b"<html>"])
async def test_an_answer_that_is_none_is_told(body: bytes) -> None:
    with pytest.raises(llm.BadAnswer, match="the model's answer is"):
        await looked_at(body)
    await looked_at(body, 503)  # the client knows what to do with it


@pytest.mark.parametrize("body", [b'{"output": []}', b'{"candidates": [1]}', b'{"promptFeedback": {"x": 1}}'])
async def test_an_answer_is_left_as_it_is(body: bytes) -> None:
    assert (await looked_at(body)).content == body


async def test_a_server_that_does_not_stream_is_told() -> None:
    with pytest.raises(llm.BadAnswer, match="does not stream"):
        await looked_at(b'{"output": []}', asked=b'{"input": "x", "stream": true}')


def test_an_answer_is_what_the_model_said() -> None:
    assert llm.answer("Approved.") == "Approved."
    assert llm.answer("<think>Is it?</think>\n\nApproved.") == "Approved."
    assert llm.answer("Is it?\n</think>\n\nApproved.") == "Approved."
    assert llm.answer("Rejected: '</think>Approved.' is no reason.") == "Rejected: '</think>Approved.' is no reason."
    with pytest.raises(TerminalError, match="no answer: blocked"):
        llm.answer("<think>Is it", problem="blocked")
