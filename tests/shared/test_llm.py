"""How long an overloaded provider makes a model call wait."""

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


def test_an_answer_is_what_the_model_said() -> None:
    assert llm.answer("Approved.", None) == "Approved."
    assert llm.answer(None, "I cannot help with that.") == "I cannot help with that."
    with pytest.raises(TerminalError, match="no answer: blocked"):
        llm.answer("", None, problem="blocked")
