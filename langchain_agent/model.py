"""The model of the agents on LangChain, whose journal holds what its server sent."""

from langchain_openai import ChatOpenAI

import durable.exact.langchain
import durable.quick_spans  # noqa: F401 - a claim takes less time
from shared import llm


def openai_model(role: str = "") -> ChatOpenAI:
    """The model, with a client that reaches it."""
    return ChatOpenAI(model=llm.openai_model(role), timeout=llm.MODEL_TIMEOUT, http_async_client=llm.http_client())
