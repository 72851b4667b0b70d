"""How long an overloaded provider makes a model call wait."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import httpx2
import pytest
from restate import TerminalError

from shared import llm


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("2", 2),
        ("0.5", 0.5),
        ("-1", 0),
        ("soon", 0),
        ("", 0),
        (format_datetime(datetime.now(UTC) + timedelta(seconds=100)), 100),
        (format_datetime(datetime.now(UTC) - timedelta(seconds=100)), 0),
    ],
)
def test_retry_after_is_seconds_or_a_date(said: str, expected: float) -> None:
    response = httpx2.Response(429, headers={"retry-after": said})
    assert llm._retry_after(response) == pytest.approx(expected, abs=10 if expected > 10 else 0)


def test_an_answer_is_what_the_model_said() -> None:
    assert llm.answer("Approved.", None) == "Approved."
    assert llm.answer(None, "I cannot help with that.") == "I cannot help with that."
    with pytest.raises(TerminalError, match="no answer: blocked"):
        llm.answer("", None, problem="blocked")
