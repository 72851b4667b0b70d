"""OpenAI's client: its models in the journal as they came over the wire.

    completion = await ctx.run_typed("call LLM", call_model, replace(RETRIES, serde=AsReceived(ChatCompletion)))

The client validates nothing: it builds its models from whatever it is sent, and knows which fields were there. This
writes these fields alone, under their names on the wire, and reads them as the client does. Pydantic's own way back
would refuse a server that is only compatible, and take each field of the journal for one that the server has sent.
"""

import json
from typing import Any, Generic, TypeVar

from openai import BaseModel
from restate.serde import Serde

M = TypeVar("M", bound=BaseModel)


def as_sent(value: Any) -> Any:
    """The JSON of a model of the client, or of a list of them, as the server sent it."""
    if isinstance(value, BaseModel):
        return value.to_dict(mode="json", warnings=False)
    return [as_sent(each) for each in value] if isinstance(value, list) else value


class AsReceived(Serde[M], Generic[M]):
    """Writes and reads a response of the client, such as a `ChatCompletion`."""

    def __init__(self, type_: type[M]) -> None:
        self._type = type_

    def serialize(self, obj: M | None) -> bytes:
        return json.dumps(as_sent(obj)).encode()

    def deserialize(self, buf: bytes) -> M:
        return self._type.construct(**json.loads(buf))
