"""Rules for a model's answer, before an agent SDK reads it: over OpenAI Chat, OpenAI Responses and Gemini.

An answer is the parsed JSON of a response with status 200. The rules leave alone what the wire does not define.
"""

import json
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

CUT_OFF = ("length", "content_filter")
"""The finish reasons with which OpenAI Chat marks an incomplete answer."""

COMPLETE = (None, "STOP", "FINISH_REASON_UNSPECIFIED")
"""Gemini's finish reasons for a complete answer."""

REFUSED = ("SAFETY", "RECITATION", "BLOCKLIST", "PROHIBITED_CONTENT", "SPII")
"""Gemini's finish reasons for a refusal."""

CALLS = ("function_call", "custom_tool_call")
"""The output items of OpenAI Responses that ask for a tool."""

OUT_OF_MONEY = ("insufficient_quota", "billing_hard_limit_reached", "billing_not_active")
"""The codes of OpenAI's errors with status 429 for which no pause helps."""


def mend_calls(answer: Any) -> bool:
    """Give each tool call of a turn a unique id, and arguments as a string; returns whether a call changed.

    Agent SDKs, Restate's integrations and `ToolCalls` find a call, its turn and its result by the id. A call keeps an
    id that is a string and unique so far. Gemini may send no id; ADK then makes one, and does not send it to the model.
    Some compatible servers send arguments as an object.
    """
    changed = False
    for calls, key, needed in _turns(answer):
        taken = set[str]()
        for call in calls:
            id = call.get(key)
            if isinstance(id, str) and id and id not in taken:
                taken.add(id)
            elif id or needed:
                call[key] = f"call_{uuid4().hex}"
                changed = True
            function = call.get("function", call)
            if needed and isinstance(function, dict) and isinstance(function.get("arguments"), dict):
                function["arguments"] = json.dumps(function["arguments"], separators=(",", ":"), ensure_ascii=False)
                changed = True
    return changed


def join_parts(answer: Any) -> bool:
    """Join the content of OpenAI Chat that a server sends as a list of parts; returns whether a content changed.

    Two clients reject such a list. Parts without text are dropped: thoughts are not the answer.
    """
    changed = False
    for choice in objects(fields(answer).get("choices")):
        message = fields(choice.get("message"))
        if isinstance(parts := message.get("content"), list):
            message["content"] = "".join(str(part.get("text") or "") for part in objects(parts)) or None
            changed = True
    return changed


def no_decision(answer: Any) -> str | None:
    """Why the model's last answer is not a decision: it is cut off, or a refusal. None for any other answer.

    An answer with tool calls is not the last.
    """
    if not isinstance(answer, dict) or any(calls for calls, _, _ in _turns(answer)):
        return None
    cut_off, refusal = _ends(answer)
    if cut_off:
        return f"the model's answer is cut off: {cut_off}"
    return f"the model refuses: {refusal}" if refusal else None


def is_out_of_money(status: int, error: Any) -> bool:
    """Whether a provider's error says that the account has no money left: asking again cannot help.

    `error` is the parsed JSON of the response. A spent daily quota of Gemini counts, too.
    """
    if status == 402:
        return True
    told = fields(fields(error).get("error"))
    quotas = [
        violation.get("quotaId")
        for detail in objects(told.get("details"))
        for violation in objects(detail.get("violations"))
    ]
    return status == 429 and (
        told.get("code") in OUT_OF_MONEY
        or told.get("type") in OUT_OF_MONEY
        or any("PerDay" in str(quota) for quota in quotas)
    )


def _ends(answer: dict[str, Any]) -> tuple[Any, Any]:
    """The reason why the answer is cut off, and the text or the reason of a refusal; None if absent."""
    for choice in objects(answer.get("choices"))[:1]:
        message, reason = fields(choice.get("message")), choice.get("finish_reason")
        return reason if reason in CUT_OFF else None, None if message.get("content") else message.get("refusal")
    for candidate in objects(answer.get("candidates"))[:1]:
        parts = objects(fields(candidate.get("content")).get("parts"))
        said = any(part.get("text") and not part.get("thought") for part in parts)
        reason = candidate.get("finishReason")
        cut_off = (reason not in COMPLETE and said) or reason == "MAX_TOKENS"
        return reason if cut_off else None, candidate.get("finishMessage") or reason if reason in REFUSED else None
    if "output" not in answer:
        return None, fields(answer.get("promptFeedback")).get("blockReason")
    parts = [part for item in objects(answer.get("output")) for part in objects(item.get("content"))]
    said = any(part.get("text") for part in parts if part.get("type") == "output_text")
    refusals = [part.get("refusal") for part in parts if part.get("type") == "refusal"]
    incomplete = answer.get("status") == "incomplete"
    reason = fields(answer.get("incomplete_details")).get("reason") or "incomplete"
    return reason if incomplete else None, refusals[0] if refusals and not said else None


def _turns(answer: Any) -> Iterator[tuple[list[dict[str, Any]], str, bool]]:
    """The tool calls of each turn in the answer, the key of their ids, and whether the wire requires ids."""
    answer = fields(answer)
    for choice in objects(answer.get("choices")):
        yield objects(fields(choice.get("message")).get("tool_calls")), "id", True
    yield [item for item in objects(answer.get("output")) if item.get("type") in CALLS], "call_id", True
    for candidate in objects(answer.get("candidates")):
        parts = objects(fields(candidate.get("content")).get("parts"))
        yield [part["functionCall"] for part in parts if isinstance(part.get("functionCall"), dict)], "id", False


def objects(value: Any) -> list[dict[str, Any]]:
    """The JSON objects of a list; empty for anything else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def fields(value: Any) -> dict[str, Any]:
    """The JSON object; empty for anything else."""
    return value if isinstance(value, dict) else {}
