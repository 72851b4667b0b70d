"""Gemini generateContent."""

import json
from typing import TYPE_CHECKING, Any

from starlette.requests import Request

from offline_model.conversation import AssistantText, BadRequest, Conversation, ToolCall, ToolResult, Turn, UserText
from offline_model.schema import not_a_number
from offline_model.wires.wire import (
    Said,
    System,
    Wire,
    conversation_of,
    key_of,
    list_of,
    pieces_of,
    tokens_of,
    tool_of,
)

if TYPE_CHECKING:
    from pydantic import BaseModel


def _parse(path: dict[str, str], body: dict[str, Any]) -> Conversation:
    from google.genai import types
    from pydantic import ValidationError

    if path["method"] not in ("generateContent", "streamGenerateContent"):
        known = "the offline model knows generateContent and streamGenerateContent only"
        raise BadRequest(f"{path['method']}: {known}", 404)
    try:
        contents = [types.Content.model_validate(part) for part in list_of(body.get("contents"), "contents")]
        system = types.Content.model_validate(body.get("systemInstruction") or {})
        declared = [types.Tool.model_validate(tool) for tool in list_of(body.get("tools") or [], "tools")]
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise BadRequest(f"{error.title}.{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    said: list[Said] = [System(part.text or "") for part in system.parts or []]
    for content in contents:
        parts = content.parts or []
        text = "\n".join(part.text for part in parts if part.text and not part.thought)
        if text or not parts:
            said.append(AssistantText(text) if content.role == "model" else UserText(text))
        for part in parts:
            if call := part.function_call:
                arguments = json.dumps(call.args or {}, ensure_ascii=False)
                said.append(ToolCall(call.name or "", arguments, call.id or ""))
            if result := part.function_response:
                text = json.dumps(result.response, ensure_ascii=False)
                said.append(ToolResult(result.name or "", text, result.id or ""))
    tools = []
    for function in (function for tool in declared for function in tool.function_declarations or []):
        schema = function.parameters_json_schema
        if function.parameters:
            schema = function.parameters.model_dump(mode="json", by_alias=True, exclude_none=True)
        tools.append(tool_of(function.name or "", function.description, schema))
    return conversation_of("gemini", path, path["model"], said, tools)


def _reply(conversation: Conversation, turn: Turn) -> "BaseModel":
    from google.genai.types import GenerateContentResponse

    parts: list[dict[str, Any]] = [{"text": turn.text}] if turn.text else []
    reason, message = "STOP", None
    try:
        parts += [{"function_call": _gemini_call(call)} for call in turn.calls]
    except ValueError as error:  # the real API also drops such a turn, and says so
        parts, reason, message = [], "MALFORMED_FUNCTION_CALL", f"Malformed function call: {error}"
    if turn.refusal is not None:
        parts, reason, message = [], "PROHIBITED_CONTENT", turn.refusal
    candidate = {"content": {"role": "model", "parts": parts or None}, "finish_reason": reason}
    read, written = tokens_of(conversation, turn)
    reply = {
        "response_id": key_of(conversation),
        "model_version": conversation.model,
        "candidates": [{"index": 0, **candidate, "finish_message": message}],
        "usage_metadata": {
            "prompt_token_count": read,
            "candidates_token_count": written,
            "total_token_count": read + written,
        },
    }
    return GenerateContentResponse.model_validate(reply)


def _gemini_call(call: ToolCall) -> dict[str, Any]:
    arguments = json.loads(call.arguments, parse_constant=not_a_number)
    if not isinstance(arguments, dict):
        raise ValueError(f"{call.arguments} is not an object")
    return {"id": call.id or None, "name": call.name, "args": arguments}


def _error(status: int, message: str) -> dict[str, Any]:
    name = "INTERNAL" if status >= 500 else "INVALID_ARGUMENT"
    names = {401: "UNAUTHENTICATED", 404: "NOT_FOUND", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
    return {"code": status, "message": message, "status": names.get(status, name)}


def _streams(request: Request, _: dict[str, Any]) -> bool:
    if request.path_params["method"] != "streamGenerateContent":
        return False
    if request.query_params.get("alt") != "sse":
        raise BadRequest("streamGenerateContent: the offline model streams server-sent events only; add ?alt=sse")
    return True


def _chunks(reply: dict[str, Any], _: dict[str, Any]) -> list[dict[str, Any]]:
    candidate = reply["candidates"][0]
    parts = candidate["content"].get("parts", [])
    told = [[{"text": piece}] for part in parts for piece in pieces_of(part.get("text", ""))]
    if calls := [part for part in parts if "functionCall" in part]:
        told.append(calls)
    same = {key: reply[key] for key in ("responseId", "modelVersion")}
    chunks = [{**same, "candidates": [{"index": 0, "content": {"role": "model", "parts": parts}}]} for parts in told]
    return [*chunks, {**reply, "candidates": [{**candidate, "content": {"role": "model"}}]}]


# Google sends no comments, and its client reads one as a broken chunk.
GEMINI = Wire(_parse, _reply, _error, _streams, _chunks, opening=b"")
