"""The spans of the OpenAI Agents SDK: its traces go to the collector instead of OpenAI."""

from agents import set_tracing_disabled
from openinference.instrumentation.openai_agents import OpenAIAgentsInstrumentor
from opentelemetry.trace import TracerProvider


def instrument(provider: TracerProvider, contents: bool) -> None:
    OpenAIAgentsInstrumentor().instrument(tracer_provider=provider)
    set_tracing_disabled(False)  # OPENAI_AGENTS_DISABLE_TRACING silences OpenAI's exporter, which is replaced here
