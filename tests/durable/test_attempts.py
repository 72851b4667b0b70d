"""The count of a model call's failed attempts."""

from durable import attempts
from durable.attempts import FailedAttempts


def test_calls_that_fail_in_one_attempt_count_once() -> None:
    failed, first, second = FailedAttempts(), object(), object()
    assert [failed.add("a", first), failed.add("a", first), failed.add("b", first), failed.add("a", second)] == [
        *(1, 1, 1, 2)
    ]


def test_a_result_begins_the_count_anew_and_the_oldest_are_forgotten() -> None:
    failed = FailedAttempts()
    failed.add("a", object())
    failed.forget("a")
    assert failed.add("a", object()) == 1
    for number in range(attempts.MOST):
        failed.add(str(number), object())
    assert failed.add("a", object()) == 1
