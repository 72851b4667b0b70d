"""The agents on servers that are more or less compatible with OpenAI: `PROFILES`, which docs/models.md describes.

Each server has only Chat, under Azure's path. It requires a key, and has one model, whose name has a slash.
"""

import asyncio
import json
import os
import re
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from typing import Any, TypeAlias

import pytest
import pytest_asyncio
from openai import AsyncOpenAI, NotFoundError
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from tests import wires
from tests.conformance.cases import IN_TIME, tagged
from tests.plain import generated
from tests.plain.scripted_model import Case, ScriptedModel
from tests.wires import MISSING
from tour.runtime import stack
from tour.runtime.frameworks import FAN_OUT, FRAMEWORKS, ROOT, TOOL_CALLS, Framework, Pattern
from tour.runtime.stack import CHECKS, Stack

Turn: TypeAlias = dict[str, Any]

KEY, MODEL = "key-of-the-test", "openai/gpt-oss-20b"
SPEAK_CHAT = [framework for framework in FRAMEWORKS if framework.wire != "Gemini"]
TOOLS = {
    FAN_OUT: ["calculate_metrics"],
    TOOL_CALLS: ["check_eligibility", "compare_to_standard_rates", "check_fraud"],
}
THOUGHT = "The metrics are fine. Rejected?"


def message(turn: Turn) -> Turn:
    said: Turn = turn["choices"][0]["message"]
    return said


def calls(turn: Turn) -> list[Turn]:
    asked: list[Turn] = message(turn).get("tool_calls", [])
    return asked


def ollama(turn: Turn) -> None:
    """An empty text beside calls; thoughts in a separate field, or in the text of a model without a parser."""
    turn["system_fingerprint"] = "fp_ollama"
    if calls(turn):
        message(turn).update(content="", reasoning=THOUGHT)
    else:
        message(turn)["content"] = f"<think>\n{THOUGHT}\n</think>\n\n{message(turn)['content']}"
    for at, call in enumerate(calls(turn)):
        call["index"] = at


def vllm(turn: Turn) -> None:
    """A null in each unused OpenAI field, an empty list of calls, `stop` after calls."""
    nulls = ("refusal", "annotations", "audio", "function_call")
    message(turn).update(dict.fromkeys(nulls), reasoning=THOUGHT, reasoning_content=THOUGHT)
    message(turn).setdefault("tool_calls", [])
    turn["choices"][0].update(finish_reason="stop", stop_reason=None, logprobs=None, token_ids=None)
    turn |= dict.fromkeys(("service_tier", "system_fingerprint", "prompt_logprobs", "kv_transfer_params"))
    turn["usage"]["prompt_tokens_details"] = None


def lm_studio(turn: Turn) -> None:
    """Thoughts without the first tag, which the chat template has; numeric ids; statistics."""
    turn |= {"stats": {}, "system_fingerprint": MODEL}
    turn["choices"][0]["logprobs"] = None
    message(turn).setdefault("tool_calls", [])
    if not calls(turn):
        message(turn)["content"] = f"{THOUGHT}\n</think>\n\n{message(turn)['content']}"
    for at, call in enumerate(calls(turn)):
        call["id"] = str(365174485 + at)


def llama_cpp(turn: Turn) -> None:
    """Calls without an id, and arguments as an object, as in a release; timings, and no usage."""
    turn["timings"] = {"prompt_n": 1, "predicted_ms": 34.2}
    del turn["usage"]
    message(turn)["reasoning_content"] = THOUGHT
    for at, call in enumerate(calls(turn)):
        call["function"]["arguments"] = json.loads(call["function"]["arguments"])
        call["id"] = ("", None, MISSING)[at]
        if call["id"] is MISSING:
            del call["id"]


def groq(turn: Turn) -> None:
    """A service tier that OpenAI does not have, times in the usage."""
    turn |= {"service_tier": "on_demand", "x_groq": {"id": "req_1"}, "usage_breakdown": None}
    turn["usage"] |= {"queue_time": 0.017, "prompt_time": 0.004, "total_time": 0.021}
    message(turn)["reasoning"] = THOUGHT


def openrouter(turn: Turn) -> None:
    """Another service tier, a provider's finish reason, thoughts with details, the cost."""
    turn |= {"provider": "Vendor", "service_tier": "standard"}
    turn["choices"][0] |= {"native_finish_reason": "STOP", "logprobs": None}
    details = [{"type": "reasoning.text", "text": THOUGHT, "format": "unknown", "index": 0}]
    message(turn).update(refusal=None, reasoning=THOUGHT, reasoning_details=details)
    turn["usage"] |= {"cost": 0.00012, "is_byok": False, "cost_details": {"upstream_inference_cost": None}}
    turn["usage"]["completion_tokens_details"] = {"reasoning_tokens": 7, "image_tokens": None}


def azure(turn: Turn) -> None:
    """The results of its content filter."""
    found = {"hate": {"filtered": False, "severity": "safe"}, "jailbreak": {"filtered": False, "detected": False}}
    turn["prompt_filter_results"] = [{"prompt_index": 0, "content_filter_results": found}]
    turn["choices"][0] |= {"content_filter_results": found, "logprobs": None}
    message(turn).update(refusal=None, annotations=[])


PROFILES: dict[str, Callable[[Turn], None]] = {
    "Ollama": ollama,
    "vLLM": vllm,
    "LM Studio": lm_studio,
    "llama.cpp": llama_cpp,
    "Groq": groq,
    "OpenRouter": openrouter,
    "Azure OpenAI": azure,
}
"""The differences of each server's answers from OpenAI's."""


class CompatibleServer(ScriptedModel):
    """Has only Chat, and refuses a request without its key, or for another model."""

    async def _answer(self, request: Request) -> Response:
        if request.url.path != "/openai/v1/chat/completions":
            return JSONResponse({"error": {"message": f"no {request.url.path}"}}, 404)
        if request.headers.get("authorization") != f"Bearer {KEY}":
            return JSONResponse({"error": {"message": "wrong key"}}, 401)
        if (model := json.loads(await request.body())["model"]) != MODEL:
            return JSONResponse({"error": {"message": f"no model {model}"}}, 404)
        return await super()._answer(request)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def server() -> AsyncIterator[CompatibleServer]:
    server = CompatibleServer()
    async with AsyncExitStack() as exits:
        url = await exits.enter_async_context(server.serving())
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("OPENAI_BASE_URL", f"{url}/openai/v1/")
            patch.setenv("OPENAI_API_KEY", KEY)
            yield server


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def running(tmp_path_factory: pytest.TempPathFactory, server: CompatibleServer) -> AsyncIterator[Stack]:
    env = {"OPENAI_WIRE": "chat", "OPENAI_MODEL": MODEL, "MODEL_TIMEOUT": "10"}
    folder = tmp_path_factory.mktemp("compatible")
    async with stack.running(folder, frameworks=SPEAK_CHAT, agent_env=env) as running:
        await running.add(TOOL_CALLS)
        yield running


def in_parts(turn: Turn) -> None:
    """Content as a list of parts, as in a request: seen in the field, though from no server of the page."""
    text = message(turn)["content"] or "Let me see."
    message(turn)["content"] = [{"type": "text", "text": text[:3]}, {"type": "text", "text": text[3:]}]


@pytest.mark.server
@pytest.mark.asyncio(loop_scope="module")
@pytest.mark.parametrize("changed", [*PROFILES.values(), in_parts], ids=[*PROFILES, "in parts"])
async def test_all_decide(running: Stack, server: CompatibleServer, changed: Callable[[Turn], None]) -> None:
    async def decided(framework: Framework, pattern: Pattern) -> str:
        """The problem with the agent's decision; empty if there is none."""
        arguments = json.dumps(generated.arguments(flat=framework.name == "pydantic_ai_agent"))
        asked = [(f"call_{at}", name, arguments) for at, name in enumerate(TOOLS[pattern])]
        script = [wires.turn("OpenAI Chat", calls=asked), wires.turn("OpenAI Chat", "Approved.")]
        for turn in script:
            changed(turn)
        claim = tagged()
        server.cases[claim.reason] = Case(script)
        id = await running.submit(framework, claim, key="", session="", pattern=pattern)
        async with asyncio.timeout(IN_TIME):
            said = await running.answer(id)
        ended = Counter(entry.step for entry in running.lab.ledger(invocations=[id]) if entry.event == "end")
        right = said == "Approved." and ended == Counter(CHECKS)
        return "" if right else f"{framework.name}, {pattern.name}: {said} {dict(ended)}"

    wrong = await asyncio.gather(*(decided(framework, pattern) for framework in SPEAK_CHAT for pattern in TOOLS))
    assert not any(wrong), "\n".join(filter(None, wrong))


@pytest.mark.server
@pytest.mark.asyncio(loop_scope="module")
async def test_a_base_url_must_have_no_query(server: CompatibleServer) -> None:
    async with AsyncOpenAI(base_url=f"{os.environ['OPENAI_BASE_URL']}?api-version=preview") as client:
        with pytest.raises(NotFoundError):
            await client.chat.completions.create(model=MODEL, messages=[])


def test_the_page_has_these_servers() -> None:
    page = (ROOT / "docs" / "models.md").read_text()
    assert re.findall(r"^\| \*\*(.+?)\*\*", page, re.MULTILINE) == list(PROFILES)
