"""OpenAI Chat Completions."""

from typing import TYPE_CHECKING, Any

from offline_model.conversation import AssistantText, BadRequest, Conversation, ToolCall, ToolResult, Turn
from offline_model.wires.wire import (
    Said,
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
    said: list[Said] = []
    for at, message in enumerate(list_of(body.get("messages"), "messages")):
        where = f"messages[{at}]"
        match message:
            case {"role": "tool", "tool_call_id": str(call), "content": content}:
                said.append(ToolResult("", text_of(content, f"{where}.content"), call))
            case {"role": "assistant"}:
                calls = list_of(message.get("tool_calls") or [], f"{where}.tool_calls")
                content = message.get("content") or message.get("refusal") or ""
                if content or not calls:
                    said.append(AssistantText(text_of(content, f"{where}.content")))
                said += [_chat_call(call, f"{where}.tool_calls[{index}]") for index, call in enumerate(calls)]
            case {"role": str(role), "content": content}:
                said.append(message_of(role, text_of(content, f"{where}.content"), f"{where}.role"))
            case _:
                raise BadRequest(f"{where}: needs a role and content, and the role tool a tool_call_id")
    return openai_conversation("chat", path, body, said)


def _chat_call(call: Any, where: str) -> ToolCall:
    match call:
        case {"id": str(id), "function": {"name": str(name), "arguments": str(arguments)}}:
            return ToolCall(name, arguments, id)
    raise BadRequest(f"{where}: needs an id, function.name and function.arguments")


def _reply(conversation: Conversation, turn: Turn) -> "BaseModel":
    from openai.types.chat import ChatCompletion

    key, (read, written) = key_of(conversation), tokens_of(conversation, turn)
    calls = [
        {
            "type": "function",
            "id": call.id or f"call_{key}{at}",
            "function": {"name": call.name, "arguments": call.arguments},
        }
        for at, call in enumerate(turn.calls)
    ]
    message = {"role": "assistant", "content": turn.text, "refusal": turn.refusal}
    reply = {
        "id": f"chatcmpl-{key}",
        "object": "chat.completion",
        "created": 0,
        "model": conversation.model,
        "choices": [
            {
                "index": 0,
                "finish_reason": "tool_calls" if calls else "stop",
                "message": {**message, "tool_calls": calls or None},
            }
        ],
        "usage": {"prompt_tokens": read, "completion_tokens": written, "total_tokens": read + written},
    }
    return ChatCompletion.model_validate(reply)


def _chunks(reply: dict[str, Any], body: dict[str, Any]) -> list[dict[str, Any]]:
    choice = reply["choices"][0]
    message = choice["message"]
    deltas: list[dict[str, Any]] = [{"role": "assistant"}]
    for key in ("content", "refusal"):
        if key in message:
            deltas[0][key] = ""
            deltas += [{key: piece} for piece in pieces_of(message[key])]
    for at, call in enumerate(message.get("tool_calls", ())):
        name, arguments = call["function"]["name"], call["function"]["arguments"]
        deltas.append({"tool_calls": [{**call, "index": at, "function": {"name": name, "arguments": ""}}]})
        deltas += [{"tool_calls": [{"index": at, "function": {"arguments": piece}}]} for piece in pieces_of(arguments)]
    choices: list[dict[str, Any]] = [{"index": 0, "delta": delta, "finish_reason": None} for delta in deltas]
    choices.append({"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]})
    same = {**{key: reply[key] for key in ("id", "created", "model")}, "object": "chat.completion.chunk"}
    chunks = [{**same, "choices": [each]} for each in choices]
    match body.get("stream_options"):
        case {"include_usage": True}:
            chunks.append({**same, "choices": [], "usage": reply["usage"]})
    return chunks


CHAT = Wire(_parse, _reply, openai_error, openai_streams, _chunks, closing=b"data: [DONE]\n\n")
