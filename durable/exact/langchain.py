"""LangChain: the journal holds each message exactly as LangChain has made it.

Restate's integration validates messages when it reads the journal. It rejects values that LangChain has accepted from
the model's server, such as a token count that is a list.
"""

import json
from typing import Any, Self

from langchain_core.messages import AIMessage, AnyMessage, FunctionMessage, HumanMessage, SystemMessage, ToolMessage
from restate.ext.langchain import _middleware
from restate.ext.langchain._middleware import SerializableModelResponse

from durable import parts

_CLASSES: dict[str, type[AnyMessage]] = {
    "ai": AIMessage,
    "function": FunctionMessage,
    "human": HumanMessage,
    "system": SystemMessage,
    "tool": ToolMessage,
}


class ExactModelResponse(SerializableModelResponse):
    """A turn of the model. Restate's SDK writes and reads it with its two JSON methods."""

    result: Any

    def model_dump_json(self, **_: Any) -> str:
        structured = self.model_dump(mode="json", include={"structured_response"})
        return json.dumps({"result": [message.model_dump(warnings=False) for message in self.result]} | structured)

    @classmethod
    def model_validate_json(cls, json_data: str | bytes | bytearray, **_: Any) -> Self:
        journaled = json.loads(json_data)
        messages = [_CLASSES[fields["type"]].model_construct(**fields) for fields in journaled["result"]]
        return cls(result=messages, structured_response=journaled["structured_response"])


parts.check(__name__)
vars(_middleware)["SerializableModelResponse"] = ExactModelResponse
