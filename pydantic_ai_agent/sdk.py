"""The model of the agents on Pydantic AI. The journal holds its answers exactly as its server sent them."""

from openai import AsyncOpenAI
from pydantic_ai.models import Model
from pydantic_ai.models.openai import OpenAIChatModel, OpenAIResponsesModel
from pydantic_ai.providers.openai import OpenAIProvider

import durable.exact.pydantic_ai  # noqa: F401 - replaces Restate's own way into the journal
from shared import llm


def openai_model(role: str = "") -> Model:
    """The model, with a client that reaches it."""
    name = llm.openai_model(role)
    provider = OpenAIProvider(openai_client=AsyncOpenAI(http_client=llm.http_client()))
    return (OpenAIChatModel if llm.openai_wire() == "chat" else OpenAIResponsesModel)(name, provider=provider)
