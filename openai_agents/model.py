"""The model of the agents on the OpenAI Agents SDK, whose journal holds what its server sent."""

from agents import set_default_openai_api, set_default_openai_client
from openai import AsyncOpenAI

import durable.exact.openai_agents  # noqa: F401 - replaces Restate's own way into the journal
from shared import llm


def openai_model(role: str = "") -> str:
    """The name of the model, the SDK set so that its client reaches it."""
    name = llm.openai_model(role)
    set_default_openai_client(AsyncOpenAI(http_client=llm.http_client()))
    set_default_openai_api("chat_completions" if llm.openai_wire() == "chat" else "responses")
    # The SDK takes what is before a slash for the name of a provider, and asks the provider without it.
    return f"openai/{name}" if "/" in name else name
