"""The model's reading of requests, and its refusals."""

import json
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
from google.genai import types

from offline_model.conversation import BadRequest
from offline_model.decide import lines_of
from offline_model.schema import plain_schema
from offline_model.server import serve_in_thread
from shared import checks
from shared.claims import InsuranceClaim
from tests.offline_model.clients import (
    CHECKS,
    CLAIM,
    METRICS,
    PROMPT,
    Chat,
    Gemini,
    Responses,
    Script,
    Wire,
    gemini_client,
)


@pytest.mark.parametrize(
    "result",
    [
        json.dumps(CHECKS),
        str(CHECKS),
        str(tuple(CHECKS)),
        json.dumps({"result": CHECKS}),
        str({"result": CHECKS}),
        json.dumps({"result": json.dumps(CHECKS)}),
        json.dumps(json.dumps(CHECKS)),
        json.dumps(dict(zip(checks.CHECKS, CHECKS, strict=True))),
        json.dumps([{"type": "text", "text": check} for check in CHECKS]).replace('"type": "text", ', ""),
        "\n".join(CHECKS),
        "\r\n\n".join(f" - {check} " for check in CHECKS),
    ],
)
def test_the_checks_are_found_however_they_are_written(result: str) -> None:
    assert lines_of(result) == CHECKS


def test_lines_of_keeps_what_it_cannot_read() -> None:
    assert lines_of("") == []
    assert lines_of("[not a list") == ["[not a list"]
    assert lines_of("[" * 100_000) == ["[" * 100_000]
    assert lines_of('{"error": "eligible"}') == ["error: eligible"]
    assert lines_of("[1, null, true]") == ["1", "None", "True"]


def test_schemas_of_every_dialect_become_plain() -> None:
    plain = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    upper = {"type": "OBJECT", "properties": {"a": {"type": "STRING"}}, "required": ["a"]}
    assert plain_schema(upper) == plain
    assert plain_schema({"$ref": "#/$defs/A", "$defs": {"A": plain}}) == plain
    assert plain_schema({"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": plain}}) == plain
    assert plain_schema({"anyOf": [{"type": "null"}, plain]}) == {**plain, "nullable": True}
    assert plain_schema({"type": ["string", "null"]}) == {"type": "string", "nullable": True}
    recursive = plain_schema({"$ref": "#/$defs/T", "$defs": {"T": {"properties": {"t": {"$ref": "#/$defs/T"}}}}})
    assert recursive["properties"]["t"] == {}
    with pytest.raises(BadRequest, match="#/nowhere"):
        plain_schema({"$ref": "#/nowhere"})


async def test_schemas_with_references_and_optional_fields(wire: Wire, url: str) -> None:
    schema = InsuranceClaim.model_json_schema()
    parameters = {
        "type": "object",
        "properties": {
            "claim": {"anyOf": [{"$ref": "#/$defs/Claim"}, {"type": "null"}]},
            "note": {"type": ["string", "null"]},
        },
        "required": ["claim", "note"],
        "$defs": {"Claim": schema},
    }
    said = await wire(url).say(PROMPT, {"name": "check", "description": "", "parameters": parameters})
    assert said.calls == [("check", {"claim": CLAIM, "note": None})]


async def test_gemini_reads_the_upper_case_schemas_of_its_own_types(url: str) -> None:
    place = types.Schema(type=types.Type.STRING, description="Where to look")
    schema = types.Schema(type=types.Type.OBJECT, properties={"city": place}, required=["city"])
    declaration = types.FunctionDeclaration(name="get_weather", parameters=schema)
    client = gemini_client(url)
    config = types.GenerateContentConfig(
        tools=[types.Tool(function_declarations=[declaration])], system_instruction="Report the weather."
    )
    reply = await client.aio.models.generate_content(model="m", contents="Weather in Rome?", config=config)
    await client.aio.aclose()
    client.close()
    assert [(call.name, call.args) for call in reply.function_calls or []] == [("get_weather", {"city": "Rome"})]


async def test_the_first_path_segment_names_the_caller_and_turns_are_counted(wire: Wire) -> None:
    script = Script(None)
    url = serve_in_thread(director=script)
    client = wire(f"{url}/langchain_agent")
    for _ in range(2):
        await client.say(PROMPT, METRICS, results=lambda _: CHECKS)
    assert [(conversation.caller, turn) for conversation, turn in script.seen] == [
        ("langchain_agent", turn) for turn in (0, 1, 0, 1)
    ]
    assert {conversation.prompt for conversation, _ in script.seen} == {PROMPT}
    await wire(url).say(PROMPT, METRICS)
    assert script.seen[-1][0].caller == ""


@pytest.fixture
async def http(url: str) -> AsyncIterator[httpx.AsyncClient]:
    async with httpx.AsyncClient(base_url=url) as client:
        yield client


CALL = {"type": "function_call", "name": "f", "arguments": "{}", "call_id": "c1"}
SCHEMA = {"type": "function", "name": "f", "parameters": {"properties": [1]}}
OUTPUT = {"type": "function_call_output", "call_id": "c2", "output": "x"}


@pytest.mark.parametrize(
    ("path", "body", "named"),
    [
        (Responses.path, {"input": "Hello"}, "model"),
        (Responses.path, {"model": "m"}, "input"),
        (Responses.path, {"model": "m", "input": "x", "stream": "yes"}, "stream"),
        (Responses.path, {"model": "m", "input": [{"role": "king", "content": "x"}]}, "input[0].role"),
        (
            Responses.path,
            {"model": "m", "input": [{"role": "user", "content": [{"image": 1}]}]},
            "input[0].content[0]",
        ),
        (Responses.path, {"model": "m", "input": [{"type": "item_reference"}]}, "input[0]"),
        (Responses.path, {"model": "m", "input": "x", "previous_response_id": "r"}, "previous_response_id"),
        (Responses.path, {"model": "m", "input": "x", "tools": [{"type": "function"}]}, "tools[0]"),
        (Responses.path, {"model": "m", "input": "x", "tools": [SCHEMA]}, "not a JSON schema"),
        (Responses.path, {"model": "m", "input": [CALL]}, "no tool output found for function call c1"),
        (Responses.path, {"model": "m", "input": [OUTPUT]}, "no function call found for tool output c2"),
        (Chat.path, {"model": "m", "messages": []}, "empty"),
        (Chat.path, {"model": "m", "messages": [{"role": "tool", "content": "x"}]}, "messages[0]"),
        (Chat.path, {"model": "m", "messages": [{"role": "assistant", "tool_calls": [{}]}]}, "tool_calls[0]"),
        (Chat.path, {"model": "m", "messages": "x"}, "messages"),
        (Chat.path, "[]", "JSON object"),
        (Gemini.path, {"contents": [{"role": "user", "parts": [{"txt": "x"}]}]}, "parts.0.txt"),
        (Gemini.path, {}, "contents"),
        (Gemini.path, "{", "not JSON"),
        (Gemini.path, r'{"contents": "\ud800"}', "not JSON"),
        (Gemini.path, "[" * 100_000, "not JSON"),
    ],
)
async def test_a_malformed_request_is_told_what_is_wrong(
    http: httpx.AsyncClient, path: str, body: Any, named: str
) -> None:
    answer = await http.post(path, content=body if isinstance(body, str) else json.dumps(body))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert named in error["message"]
    shape = (error["code"], error["status"]) if path == Gemini.path else error["type"]
    assert shape == ((400, "INVALID_ARGUMENT") if path == Gemini.path else "invalid_request_error")


async def test_other_paths(http: httpx.AsyncClient) -> None:
    assert (await http.get("/health")).json() == {"status": "ok"}
    for path in ("/", "/v1/embeddings", "/a/b/v1/responses", "/v2/models/m:generateContent"):
        answer = await http.post(path, json={})
        assert answer.status_code == 404
        assert path in answer.json()["error"]["message"]
    answer = await http.post("/v1beta/models/m:countTokens", json={})
    assert (answer.status_code, answer.json()["error"]["status"]) == (404, "NOT_FOUND")
    answer = await http.get("/v1/responses")
    assert answer.status_code == 405
    assert "error" in answer.json()
