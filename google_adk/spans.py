"""The spans of Google ADK, which makes them with the tracer provider of the process, and of Gemini's client.

Restate's plugin calls the model in place of ADK, so ADK makes no span of model calls.
"""

import os

from openinference.instrumentation.google_genai import GoogleGenAIInstrumentor
from opentelemetry import trace


def instrument(provider: trace.TracerProvider, contents: bool) -> None:
    os.environ.setdefault("ADK_CAPTURE_MESSAGE_CONTENT_IN_SPANS", str(contents).lower())
    trace.set_tracer_provider(provider)
    GoogleGenAIInstrumentor().instrument(tracer_provider=provider)
