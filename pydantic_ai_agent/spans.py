"""The spans of Pydantic AI, which the SDK itself makes."""

from opentelemetry.trace import TracerProvider
from pydantic_ai import Agent
from pydantic_ai.models.instrumented import InstrumentationSettings


def instrument(provider: TracerProvider, contents: bool) -> None:
    Agent.instrument_all(InstrumentationSettings(tracer_provider=provider, include_content=contents))
