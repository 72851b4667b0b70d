"""A turn of a model on each wire, with the ids and finish reasons that servers may give it."""

import json
from collections.abc import Sequence
from typing import Any

MISSING = object()
"""No id at all."""


def turn(
    wire: str,
    text: str | None = None,
    calls: Sequence[tuple[object, str, str]] = (),
    ends: str | None = None,
    refusal: str | None = None,
    thought: str | None = None,
) -> dict[str, Any]:
    """The body of an answer. A call is its id, the tool's name and the arguments; `ends` is the finish reason."""
    match wire:
        case "OpenAI Responses":
            return _response(text, calls, ends, refusal, thought)
        case "OpenAI Chat":
            return _completion(text, calls, ends, refusal, thought)
        case "Gemini":
            return _generated(text, calls, ends, refusal, thought)
    raise ValueError(wire)


def _response(
    text: str | None,
    calls: Sequence[tuple[object, str, str]],
    ends: str | None,
    refusal: str | None,
    thought: str | None,
) -> dict[str, Any]:
    output: list[dict[str, Any]] = []
    if thought:
        output.append({"type": "reasoning", "id": "rs", "summary": [{"type": "summary_text", "text": thought}]})
    content = [{"type": "output_text", "text": text, "annotations": []}] if text is not None else []
    content += [{"type": "refusal", "refusal": refusal}] if refusal is not None else []
    if content:
        output.append({"type": "message", "id": "m", "role": "assistant", "status": "completed", "content": content})
    for at, (id, name, arguments) in enumerate(calls):
        call = {"type": "function_call", "id": f"fc{at}", "name": name, "arguments": arguments, "status": "completed"}
        output.append(call if id is MISSING else call | {"call_id": id})
    head = {"id": "r", "object": "response", "created_at": 1, "model": "m", "output": output}
    usage = {"input_tokens": 1, "output_tokens": 1, "total_tokens": 2}
    details = {"input_tokens_details": {"cached_tokens": 0}, "output_tokens_details": {"reasoning_tokens": 0}}
    end: dict[str, Any] = {"status": "completed"}
    if ends:
        end = {"status": "incomplete", "incomplete_details": {"reason": ends}}
    return head | end | {"usage": usage | details}


def _completion(
    text: str | None,
    calls: Sequence[tuple[object, str, str]],
    ends: str | None,
    refusal: str | None,
    thought: str | None,
) -> dict[str, Any]:
    said = []
    for id, name, arguments in calls:
        call = {"type": "function", "function": {"name": name, "arguments": arguments}}
        said.append(call if id is MISSING else call | {"id": id})
    message: dict[str, Any] = {"role": "assistant", "content": text}
    message |= {"refusal": refusal} if refusal is not None else {}
    message |= {"reasoning_content": thought} if thought else {}
    message |= {"tool_calls": said} if said else {}
    choice = {"index": 0, "finish_reason": ends or ("tool_calls" if said else "stop"), "message": message}
    usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
    return {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}


def _generated(
    text: str | None,
    calls: Sequence[tuple[object, str, str]],
    ends: str | None,
    refusal: str | None,
    thought: str | None,
) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"text": thought, "thought": True}] if thought else []
    parts += [{"text": text}] if text is not None else []
    for id, name, arguments in calls:
        call = {"name": name, "args": json.loads(arguments)}
        parts.append({"functionCall": call if id is MISSING else call | {"id": id}})
    candidate: dict[str, Any] = {"content": {"role": "model", "parts": parts}, "finishReason": ends or "STOP"}
    if refusal is not None:
        candidate |= {"finishReason": "PROHIBITED_CONTENT", "finishMessage": refusal}
    return {"candidates": [candidate], "usageMetadata": {"promptTokenCount": 1}, "modelVersion": "m"}
