"""Pydantic AI: the journal holds each answer exactly as the SDK has made it.

The SDK accepts missing fields and nulls, such as a call without an id, or a token count that is null. Restate's
integration validates the journal when it reads it, and rejects them. Here the journal has the fields and the class of
each object, which come back unchanged. This is also quicker: the integration builds a new TypeAdapter for each answer,
which takes 21 ms of CPU.
"""

import json
from base64 import b64decode, b64encode
from dataclasses import is_dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, cast

from pydantic_ai import messages, usage
from pydantic_ai.messages import ModelResponse
from restate.ext.pydantic import _model
from restate.ext.pydantic._serde import PydanticTypeAdapter

from durable import parts

CLASS = "class"
"""The key for the name of an object's class, among the object's fields."""

_CLASSES: dict[str, type] = {
    name: found
    for module in (messages, usage)
    for name, found in vars(module).items()
    if isinstance(found, type) and is_dataclass(found)
}


class _AsMade(PydanticTypeAdapter[ModelResponse]):
    def serialize(self, obj: ModelResponse | None) -> bytes:
        return json.dumps(_written(obj)).encode()

    def deserialize(self, buf: bytes) -> ModelResponse | None:
        fields = json.loads(buf)
        # A journal of version 0.1.0 has the integration's format.
        return cast(ModelResponse, _read(fields)) if CLASS in fields else super().deserialize(buf)


def _written(value: Any) -> Any:
    match value:
        case list() | tuple():
            return [_written(each) for each in value]
        case dict() if CLASS in value:
            return {CLASS: "dict", "items": [[key, _written(each)] for key, each in value.items()]}
        case dict():
            return {key: _written(each) for key, each in value.items()}
        case bytes():
            return {CLASS: "bytes", "base64": b64encode(value).decode()}
        case datetime():
            return {CLASS: "datetime", "iso": value.isoformat()}
        case Decimal():
            return {CLASS: "Decimal", "text": str(value)}
        case _ if type(value).__name__ in _CLASSES:
            return {CLASS: type(value).__name__} | {name: _written(each) for name, each in vars(value).items()}
    return value


def _read(value: Any) -> Any:
    match value:
        case list():
            return [_read(each) for each in value]
        case {"class": "dict", "items": items}:
            return {key: _read(each) for key, each in items}
        case {"class": "bytes", "base64": text}:
            return b64decode(text)
        case {"class": "datetime", "iso": text}:
            return datetime.fromisoformat(text)
        case {"class": "Decimal", "text": text}:
            return Decimal(text)
        case {"class": name, **fields}:
            made: Any = object.__new__(_CLASSES[str(name)])
            vars(made).update({str(field): _read(each) for field, each in fields.items()})
            return made
        case dict():
            return {key: _read(each) for key, each in value.items()}
    return value


parts.check(__name__)
vars(_model)["MODEL_RESPONSE_SERDE"] = _AsMade(ModelResponse)
