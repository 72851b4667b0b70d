"""The spans of OpenAI's client, and one for each tool call of our loop."""

import functools
import sys
from typing import Any

from openinference.instrumentation.openai import OpenAIInstrumentor
from opentelemetry.trace import TracerProvider


def instrument(provider: TracerProvider, contents: bool) -> None:
    OpenAIInstrumentor().instrument(tracer_provider=provider)

    loop: Any = sys.modules["restate_loop.agent_loop"]  # the agent has imported it; tracing imports no agent
    tracer, run_tool = provider.get_tracer("restate_loop"), loop.Agent._run_tool

    @functools.wraps(run_tool)
    async def traced(self: Any, calls: Any, call: Any, given: Any) -> Any:
        attributes = {"openinference.span.kind": "TOOL", "tool.name": call.function.name}
        with tracer.start_as_current_span(call.function.name, attributes=attributes):
            return await run_tool(self, calls, call, given)

    loop.Agent._run_tool = traced  # patched here, so that the loop stays short
