"""OpenAI Agents SDK: the journal holds the items of a model's turn exactly as they came over the wire.

Restate's `RestateModelResponse` writes every field of an item; fields that the server never sent become null. After a
replay the SDK sends them all back, such as `"async_": null`, and the official API rejects unknown parameters.

Restate's turnstile also waits for calls that the SDK does not run, such as a call of an unknown tool, and the calls
behind it would hang. Here, the turnstile gets only the calls that the SDK runs.
"""

import json
from collections.abc import Iterable
from dataclasses import replace
from typing import Any

from agents import FunctionTool, Model, ModelBehaviorError, ModelResponse, Tool, Usage
from openai.types.responses import Response
from pydantic import TypeAdapter
from restate import RunOptions
from restate.ext.openai import restate_context, runner_wrapper
from restate.ext.openai.runner_wrapper import RestateModelWrapper
from restate.ext.turnstile import Turnstile
from restate.serde import Serde

from durable import parts
from durable.exact.openai import AsReceived, as_sent
from durable.streaming import attempt, model_call

_USAGE = TypeAdapter(Usage)


class _AsReceived(Serde[ModelResponse]):
    def serialize(self, obj: ModelResponse | None) -> bytes:
        assert obj
        fields = {"output": as_sent(obj.output), "usage": _USAGE.dump_python(obj.usage, mode="json")}
        return json.dumps(vars(obj) | fields).encode()

    def deserialize(self, buf: bytes) -> ModelResponse:
        fields = json.loads(buf)
        output = Response.construct(output=fields["output"]).output
        return ModelResponse(**fields | {"output": output, "usage": _USAGE.validate_python(fields["usage"])})


async def in_journal(model: Model, options: RunOptions[Any], *args: Any, **kwargs: Any) -> ModelResponse:
    """The model's answer to this request, as a durable step with an exact journal."""

    async def call_llm() -> ModelResponse:
        return await model.get_response(*args, **kwargs)

    exact = replace(options, serde=_AsReceived())
    response: ModelResponse = await restate_context().run_typed("call LLM", call_llm, exact)
    return response


async def streamed_into_journal(model: Model, options: RunOptions[Any], *args: Any, **kwargs: Any) -> Response:
    """The same for a model that streams its answer: the tokens are reported as they arrive."""
    reported = model_call()

    async def call_llm() -> Response:
        said = attempt()
        async for event in model.stream_response(*args, **kwargs):
            match event.type:
                case "response.output_text.delta":
                    said(event.delta)
                case "response.completed":
                    fields = {"id", "output", "usage"}  # the others repeat the request
                    return Response.construct(**{name: getattr(event.response, name) for name in fields})
        raise ModelBehaviorError("the model's stream ended before its answer")

    exact = replace(options, serde=AsReceived(Response))
    response: Response = await restate_context().run_typed("call LLM", call_llm, exact)
    calls = [item for item in response.output if item.type == "function_call"]
    reported.in_journal(response.output_text, [(item.call_id, item.name, item.arguments) for item in calls])
    return response


class ExactModel(RestateModelWrapper):
    """Restate's durable model, with an exact journal."""

    async def get_response(self, *args: Any, **kwargs: Any) -> ModelResponse:
        response = await in_journal(self.model, self.llm_run_options, *args, **kwargs)
        self.state.turnstile = Turnstile(ids_of_calls(response, kwargs["tools"]))
        return response


def ids_of_calls(response: ModelResponse | Response, tools: Iterable[Tool]) -> list[str]:
    """The ids of the calls that the SDK runs: not handoffs, unknown tools, or tools that need an approval."""
    run = {tool.name for tool in tools if isinstance(tool, FunctionTool) and tool.needs_approval is not True}
    return [item.call_id for item in response.output if item.type == "function_call" and item.name in run]


parts.check(__name__)
vars(runner_wrapper)["RestateModelWrapper"] = ExactModel
