"""Awaited futures are converted once, however often the SDK polls; equal futures are not confused."""

from typing import Any

import pytest
from restate import vm
from restate.vm import AllCompletedUnresolvedFuture, SingleUnresolvedFuture

import durable.quick_gather  # noqa: F401


def test_a_future_is_converted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[Any] = []
    single = vm.PyUnresolvedFuture.single  # type: ignore[attr-defined]

    class Native:
        all_completed = staticmethod(vm.PyUnresolvedFuture.all_completed)  # type: ignore[attr-defined]

        @staticmethod
        def single(handle: int) -> Any:
            made.append(handle)
            return single(handle)

    monkeypatch.setattr(vm, "PyUnresolvedFuture", Native)
    convert = vars(vm)["_unresolved_future_to_pyo3"]
    awaited, equal = (AllCompletedUnresolvedFuture([SingleUnresolvedFuture(n) for n in (1, 2, 3)]) for _ in range(2))
    assert convert(awaited) is convert(awaited)
    assert made == [1, 2, 3]
    assert awaited == equal
    assert convert(equal) is not convert(awaited)
