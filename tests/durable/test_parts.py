"""The private parts of other packages that `durable` relies on: an error names a change. Each import checks them."""

import dataclasses
import re

import pytest

from durable import parts
from tour.runtime.frameworks import ROOT

CHANGED = dataclasses.replace(parts.PARTS["tool_calls"][0], expected="of another version")


def test_each_module_checks_its_parts() -> None:
    checking = {
        str(path.relative_to(ROOT / "durable").with_suffix("")).replace("/", ".")
        for path in (ROOT / "durable").rglob("*.py")
        if re.search(r"^parts\.check\(__name__\)$", path.read_text(), re.MULTILINE)
    }
    assert checking == parts.PARTS.keys()


def test_a_part_that_has_changed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parts.PARTS, "tool_calls", (CHANGED,))
    with pytest.raises(ImportError, match=r"relies on restate\.vm\.VMWrapper\.is_completed, which has changed"):
        parts.check("durable.tool_calls")


def test_a_variable_turns_it_into_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(parts.PARTS, "tool_calls", (CHANGED,))
    monkeypatch.setenv(parts.VARIABLE, "warn")
    with pytest.warns(RuntimeWarning, match="has changed"):
        parts.check("durable.tool_calls")


def test_a_part_that_is_gone_is_an_error() -> None:
    with pytest.raises(ImportError, match=r"restate\.vm\.VMWrapper\.gone is gone"):
        dataclasses.replace(CHANGED, name="VMWrapper.gone").found()
