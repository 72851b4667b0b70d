"""Changes to an answer, such as gateways, proxies and filters make.

A change names a value by its number. The values of the answer are counted in order, including those inside JSON texts
(the arguments of a tool call), and the number is taken modulo their count, so any number fits any answer. A stream is
the list of its chunks: a change may drop, repeat or set one.
"""

import copy
import json
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, TypeAlias

Change: TypeAlias = tuple[str, int, Any]
"""The kind, the place and the value: `drop`, `set` (value), `nest` (depth, in lists), `twice` (a list's item)."""

NESTED = "\x00nested {} {}\x00"
"""A placeholder for a value that is nested too deeply for Python's JSON encoder."""


def changed(answer: Any, changes: list[Change]) -> bytes:
    """The changed answer as JSON; the answer itself stays unchanged."""
    return dumped(changed_list([answer], changes)[0])


def changed_list(answers: list[Any], changes: list[Change]) -> list[Any]:
    """The changed answers; at least one is left. `dumped` makes JSON of each."""
    whole = json.loads(json.dumps(answers))
    for how, where, value in changes:
        places = list(_places(whole))
        holder, key = places[where % len(places)]
        match how:
            case "set":
                holder[key] = copy.deepcopy(value)  # otherwise the value could be set inside itself
            case "nest":
                holder[key] = NESTED.format(value, json.dumps(_plain(holder[key])))
            case "twice" if isinstance(holder, list):
                holder.insert(key, copy.deepcopy(holder[key]))
            case "drop" if holder is not whole or len(whole) > 1:
                del holder[key]
    return [_plain(answer) for answer in whole]


def dumped(value: Any, *, escaped: bool = True) -> bytes:
    """The JSON of an answer, changed or not. Escapes can hold half a surrogate pair."""
    return _dumped(value, escaped).encode("utf-8", "surrogatepass")


def _dumped(value: Any, escaped: bool = True) -> str:
    text = json.dumps(value, ensure_ascii=escaped)
    while (start := text.find('"\\u0000nested ')) >= 0:
        end = text.index('\\u0000"', start + 1)
        depth, _, inner = json.loads(text[start : end + 7])[8:-1].partition(" ")
        text = text[:start] + "[" * int(depth) + inner + "]" * int(depth) + text[end + 7 :]
    return text


class _Text(dict[str, Any]):
    """An object whose JSON is the value of a string."""


def _places(holder: Any) -> Iterator[tuple[Any, Any]]:
    for key, value in list(holder.items() if isinstance(holder, dict) else enumerate(holder)):
        if isinstance(value, str) and value.startswith("{"):
            with suppress(ValueError):
                holder[key] = value = _Text(json.loads(value))
        yield holder, key
        if isinstance(value, dict | list):
            yield from _places(value)


def _plain(value: Any) -> Any:
    if isinstance(value, list):
        return [_plain(each) for each in value]
    if isinstance(value, dict):
        plain = {key: _plain(each) for key, each in value.items()}
        return _dumped(plain) if isinstance(value, _Text) else plain
    return value
