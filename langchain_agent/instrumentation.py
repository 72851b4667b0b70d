"""The spans of LangChain, from its callbacks."""

import os

from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.trace import TracerProvider


def instrument(provider: TracerProvider, contents: bool) -> None:
    for what in ("INPUTS", "OUTPUTS"):
        os.environ.setdefault(f"OPENINFERENCE_HIDE_{what}", str(not contents).lower())
    LangChainInstrumentor().instrument(tracer_provider=provider)
