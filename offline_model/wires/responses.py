"""OpenAI Responses."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from offline_model.conversation import AssistantText, BadRequest, Conversation, ToolCall, ToolResult, Turn
from offline_model.wires.wire import (
    Said,
    System,
    Wire,
    key_of,
    list_of,
    message_of,
    openai_conversation,
    openai_error,
    openai_streams,
    pieces_of,
    text_of,
    tokens_of,
)

if TYPE_CHECKING:
    from pydantic import BaseModel


def _parse(path: dict[str, str], body: dict[str, Any]) -> Conversation:
    for stateful in ("previous_response_id", "conversation"):
        if body.get(stateful):
            raise BadRequest(f"{stateful}: the offline model keeps no state; send the whole conversation")
    given = body.get("input")
    items = [{"role": "user", "content": given}] if isinstance(given, str) else list_of(given, "input")
    said: list[Said] = [System(text_of(body.get("instructions") or "", "instructions"))]
    for at, item in enumerate(items):
        match item:
            case {"type": "function_call", "name": str(name), "arguments": str(text), "call_id": str(call)}:
                said.append(ToolCall(name, text, call))
            case {"type": "function_call_output", "call_id": str(call), "output": output}:
                said.append(ToolResult("", text_of(output, f"input[{at}].output"), call))
            case {"type": "reasoning"}:
                pass
            case {"type": "item_reference", "id": str()}:  # OpenAI stores that text; this model stores nothing
                said.append(AssistantText(""))
            case {"role": str(role), "content": content} if item.get("type", "message") == "message":
                said.append(message_of(role, text_of(content, f"input[{at}].content"), f"input[{at}].role"))
            case _:
                known = "role, content | type=function_call, name, arguments, call_id"
                raise BadRequest(f"input[{at}]: needs {known} | type=function_call_output, call_id, output")
    return openai_conversation("responses", path, body, said)


def _reply(conversation: Conversation, turn: Turn) -> "BaseModel":
    from openai.types.responses import Response

    key, (read, written) = key_of(conversation), tokens_of(conversation, turn)
    content: list[dict[str, Any]] = []
    if turn.text is not None:
        content.append({"type": "output_text", "text": turn.text, "annotations": []})
    if turn.refusal is not None:
        content.append({"type": "refusal", "refusal": turn.refusal})
    message = {"type": "message", "id": f"msg_{key}", "role": "assistant", "status": "completed"}
    calls = [
        {
            "type": "function_call",
            "id": f"fc_{key}{at}",
            "call_id": call.id or f"call_{key}{at}",
            "name": call.name,
            "arguments": call.arguments,
            "status": "completed",
        }
        for at, call in enumerate(turn.calls)
    ]
    usage = {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }
    reply = {
        "id": f"resp_{key}",
        "object": "response",
        "created_at": 0,
        "status": "completed",
        "model": conversation.model,
        "output": [{**message, "content": content}, *calls] if content else calls,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": usage,
    }
    return Response.model_validate(reply)


def _chunks(reply: dict[str, Any], _: dict[str, Any]) -> list[dict[str, Any]]:
    return [{**event, "sequence_number": at} for at, event in enumerate(_events(reply))]


def _events(reply: dict[str, Any]) -> Iterator[dict[str, Any]]:
    begun = {key: value for key, value in reply.items() if key != "usage"}
    begun |= {"status": "in_progress", "output": []}
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for at, item in enumerate(reply["output"]):
        empty: dict[str, Any] = {"content": []} if item["type"] == "message" else {"arguments": ""}
        added = {**item, **empty, "status": "in_progress"}
        yield {"type": "response.output_item.added", "output_index": at, "item": added}
        where = {"output_index": at, "item_id": item["id"]}
        if item["type"] == "message":
            for index, part in enumerate(item["content"]):
                yield from _part_events(part, {**where, "content_index": index})
        else:
            for piece in pieces_of(item["arguments"]):
                yield {"type": "response.function_call_arguments.delta", **where, "delta": piece}
            yield {"type": "response.function_call_arguments.done", **where, "arguments": item["arguments"]}
        yield {"type": "response.output_item.done", "output_index": at, "item": item}
    yield {"type": "response.completed", "response": reply}


def _part_events(part: dict[str, Any], where: dict[str, Any]) -> Iterator[dict[str, Any]]:
    kind, key = part["type"], "text" if part["type"] == "output_text" else "refusal"
    also: dict[str, Any] = {"logprobs": []} if key == "text" else {}
    yield {"type": "response.content_part.added", **where, "part": {**part, key: ""}}
    for piece in pieces_of(part[key]):
        yield {"type": f"response.{kind}.delta", **where, **also, "delta": piece}
    yield {"type": f"response.{kind}.done", **where, **also, key: part[key]}
    yield {"type": "response.content_part.done", **where, "part": part}


def _error_event(error: dict[str, Any], at: int) -> dict[str, Any]:
    return {"type": "error", "code": error["type"], "message": error["message"], "param": None, "sequence_number": at}


RESPONSES = Wire(_parse, _reply, openai_error, openai_streams, _chunks, _error_event)
