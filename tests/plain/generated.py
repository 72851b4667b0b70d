"""Answers of a model's server, made by Hypothesis: every kind of item of each wire, and fields that no client knows."""

import base64
import json
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Json = SearchStrategy[Any]

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
numbers = st.one_of(st.integers(-3, 3), st.sampled_from([2**53 + 1, 2**63, 10**30, 0.1, 1.0, 1e22, -0.0]))
values: Json = st.recursive(
    st.one_of(st.none(), st.booleans(), numbers, texts),
    lambda inner: st.one_of(st.lists(inner, max_size=2), st.dictionaries(texts, inner, max_size=2)),
    max_leaves=4,
)
signatures = st.binary(min_size=1, max_size=12).map(lambda raw: base64.b64encode(raw).decode())


def some(**optional: Json) -> Json:
    """An object with some of these fields, and perhaps an unknown one."""
    unknown = st.dictionaries(st.sampled_from(["x_new", "xNew", "async", "vendor"]), values, max_size=1)
    return st.builds(lambda known, new: known | new, st.fixed_dictionaries({}, optional=optional), unknown)


def object_of(optional: Json, **required: Any) -> Json:
    """The object, with these additional fields."""
    fields = {name: value if isinstance(value, SearchStrategy) else st.just(value) for name, value in required.items()}
    return st.builds(lambda others, own: others | own, optional, st.fixed_dictionaries(fields))


def arguments(flat: bool) -> dict[str, Any]:
    """The arguments of `calculate_metrics` for the sent claim."""
    claim = {
        "date": "2024-10-01",
        "category": "orthopedic",
        "reason": "case CASE",
        "amount": 3000.0,
        "placeOfService": "General Hospital",
    }
    return claim if flat else {"claim": claim}


ids = st.integers(0, 10**9).map(lambda number: f"id_{number}")
positions = st.integers(0, 9)
annotations = st.lists(
    st.one_of(
        object_of(some(), type="url_citation", url=texts, title=texts, start_index=positions, end_index=positions),
        object_of(some(), type="file_citation", file_id=texts, filename=texts, index=positions),
    ),
    max_size=2,
)

# OpenAI Responses
parts_of_reasoning = st.one_of(st.none(), st.lists(object_of(some(), type="reasoning_text", text=texts), max_size=2))
reasoning = object_of(
    some(
        encrypted_content=st.one_of(st.none(), signatures),
        content=parts_of_reasoning,
        status=st.sampled_from([None, "completed"]),
    ),
    type="reasoning",
    id=ids,
    summary=st.lists(object_of(some(), type="summary_text", text=texts), max_size=2),
)
content = st.lists(
    st.one_of(
        object_of(some(logprobs=st.just([])), type="output_text", text=texts, annotations=annotations),
        object_of(some(), type="refusal", refusal=texts),
    ),
    max_size=2,
)
message = object_of(
    some(status=st.just("completed"), phase=st.sampled_from([None, "commentary"])),
    type="message",
    role="assistant",
    id=ids,
    content=content,
)
hosted = object_of(
    some(), type="web_search_call", id=ids, status="completed", action=st.just({"type": "search", "query": "rates"})
)
unknown_item = object_of(some(payload=values), type="item_of_tomorrow", id=ids)


def responses_call(text: str) -> Json:
    known = some(status=st.just("completed"), namespace=st.none(), caller=st.none())
    return object_of(known, type="function_call", id=ids, call_id=ids, name="calculate_metrics", arguments=text)


# OpenAI Chat
chat_message = some(
    content=st.one_of(st.none(), texts),
    refusal=st.none(),
    reasoning_content=st.one_of(st.none(), texts),
    reasoning=st.one_of(st.none(), texts),
    reasoning_details=st.lists(values, max_size=1),
    annotations=annotations,
    audio=st.none(),
    function_call=st.none(),
)
chat_call = some(index=st.integers(0, 3), extra_content=st.just({"google": {"thought_signature": "eA=="}}))

# Gemini
part = st.one_of(
    st.builds(
        lambda text, fields: {"text": text} | fields,
        texts,
        st.fixed_dictionaries({}, optional={"thought": st.booleans(), "thoughtSignature": signatures}),
    ),
    signatures.map(lambda data: {"inlineData": {"mimeType": "image/png", "data": data}}),
    texts.map(lambda code: {"executableCode": {"language": "PYTHON", "code": code}}),
    texts.map(lambda said: {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": said}}),
)
gemini_call = st.fixed_dictionaries({}, optional={"thoughtSignature": signatures, "thought": st.just(False)})
gemini_candidate = st.fixed_dictionaries(
    {},
    optional={
        "finishReason": st.sampled_from(["STOP", None]),
        "safetyRatings": st.just([{"category": "HARM_CATEGORY_HARASSMENT", "probability": "LOW"}]),
        "citationMetadata": st.just({"citations": [{"uri": "x", "startIndex": 1}]}),
        "groundingMetadata": st.just({"webSearchQueries": ["rates"]}),
        "avgLogprobs": st.floats(-3, 0),
        "tokenCount": st.integers(0, 9),
    },
)
gemini_usage = st.fixed_dictionaries(
    {},
    optional={
        "promptTokenCount": st.integers(0, 9),
        "thoughtsTokenCount": st.integers(0, 9),
        "cachedContentTokenCount": st.integers(0, 9),
        "promptTokensDetails": st.just([{"modality": "TEXT", "tokenCount": 3}]),
    },
)

details = st.one_of(st.none(), some(reasoning_tokens=positions, cached_tokens=positions))
chat_usage = st.one_of(
    st.none(),
    object_of(
        some(completion_tokens_details=details, prompt_tokens_details=details),
        prompt_tokens=positions,
        completion_tokens=positions,
        total_tokens=positions,
    ),
)
responses_usage = st.one_of(
    st.none(),
    object_of(
        some(),
        input_tokens=positions,
        output_tokens=positions,
        total_tokens=positions,
        input_tokens_details=st.just({"cached_tokens": 1, "cache_write_tokens": 0}),
        output_tokens_details=st.just({"reasoning_tokens": 1}),
    ),
)


THE_CALL = ("arguments", "name", "args", "function", "functionCall", "tool_calls", "output", "message", "choices")
"""The fields that stay in a looser answer, so that it asks for the same tool call, with the same arguments."""


def loose(answer: Json) -> Json:
    """The answer. One in four lacks an optional field, or has a null in its place."""
    fewer = st.builds(_without, answer, st.integers(0, 60), st.booleans())
    return st.one_of(answer, answer, answer, fewer)


def _without(answer: Any, at: int, null: bool) -> Any:
    answer = json.loads(json.dumps(answer))
    fields = list(_fields(answer))
    holder, name = fields[at % len(fields)]
    del holder[name]
    if null:
        holder[name] = None
    return answer


def is_call(value: dict[str, Any]) -> bool:
    """Whether this is a tool call, which gets an id if it has none (durable/answers.py)."""
    return "function" in value or value.get("type") == "function_call"


def _fields(value: Any) -> Iterator[tuple[Any, Any]]:
    for name, field in value.items() if isinstance(value, dict) else enumerate(value):
        if isinstance(value, dict) and name not in THE_CALL and not (name in ("id", "call_id") and is_call(value)):
            yield value, name
        if isinstance(field, dict | list) and name != "args":
            yield from _fields(field)


def turn(wire: str, flat: bool) -> Json:
    """A turn of the model that calls the tool once, beside any other items of the wire."""
    text = json.dumps(arguments(flat))
    match wire:
        case "OpenAI Responses":
            others = st.lists(st.one_of(reasoning, message, hosted, unknown_item), max_size=3)
            output = st.builds(_inserted, others, responses_call(text), st.integers(0, 3))
            return loose(st.builds(_response, output, responses_usage, some()))
        case "OpenAI Chat":
            function = object_of(some(), name="calculate_metrics", arguments=text)
            calls = st.lists(object_of(chat_call, id=ids, type="function", function=function), min_size=1, max_size=1)
            return loose(st.builds(_chat, chat_message, calls, reasons, chat_usage, some()))
        case _:
            function = object_of(
                st.fixed_dictionaries({}, optional={"id": ids}),
                name="calculate_metrics",
                args=st.just(arguments(flat)),
            )
            parts = st.builds(
                _inserted, st.lists(part, max_size=3), object_of(gemini_call, functionCall=function), st.integers(0, 3)
            )
            return loose(st.builds(_gemini, parts, gemini_candidate, gemini_usage))


reasons = st.sampled_from(["tool_calls", "stop", "eos", None])


def _inserted(items: list[Any], item: Any, at: int) -> list[Any]:
    return [*items[:at], item, *items[at:]]


def _response(output: list[Any], usage: Any, fields: dict[str, Any]) -> dict[str, Any]:
    head = {"id": "r", "object": "response", "created_at": 1, "model": "m", "status": "completed"}
    return fields | head | {"output": output, "usage": usage}


def _chat(message: dict[str, Any], calls: list[Any], reason: Any, usage: Any, fields: dict[str, Any]) -> dict[str, Any]:
    said = message | {"role": "assistant"} | ({"tool_calls": calls} if calls else {})
    head = {"id": "c", "object": "chat.completion", "created": 1, "model": "m"}
    return fields | head | {"choices": [{"index": 0, "finish_reason": reason, "message": said}], "usage": usage}


def _gemini(parts: list[Any], candidate: dict[str, Any], usage: Any) -> dict[str, Any]:
    content = {"role": "model", "parts": parts}
    return {"candidates": [candidate | {"content": content}], "usageMetadata": usage, "modelVersion": "m"}
