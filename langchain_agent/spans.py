"""The spans of LangChain, from its callbacks."""

from openinference.instrumentation.langchain import LangChainInstrumentor
from opentelemetry.trace import TracerProvider


def instrument(provider: TracerProvider, contents: bool) -> None:
    LangChainInstrumentor().instrument(tracer_provider=provider)
