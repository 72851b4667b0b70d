"""OpenAI's client: the journal holds its models exactly as they came over the wire.

    completion = await ctx.run_typed("call LLM", call_model, replace(RETRIES, serde=AsReceived(ChatCompletion)))

The client validates nothing: it builds its models from any response, and remembers which fields were present. This
module writes only these fields, under their names on the wire, and reads them as the client does. Pydantic's parser
would reject a response of a merely compatible server, and treat each field of the journal as sent by the server.
"""

import json
from typing import Any, Generic, TypeVar

from openai import BaseModel
from restate.serde import Serde

M = TypeVar("M", bound=BaseModel)


def as_sent(value: Any) -> Any:
    """The JSON of one of the client's models, or of a list of them, as the server sent it."""
    if isinstance(value, BaseModel):
        return value.to_dict(mode="json", warnings=False)
    return [as_sent(each) for each in value] if isinstance(value, list) else value


class AsReceived(Serde[M], Generic[M]):
    """Writes and reads a response, such as a `ChatCompletion`."""

    def __init__(self, type_: type[M]) -> None:
        self._type = type_

    def serialize(self, obj: M | None) -> bytes:
        return json.dumps(as_sent(obj)).encode()

    def deserialize(self, buf: bytes) -> M:
        return self._type.construct(**json.loads(buf))
