"""Shared by the agents on the OpenAI Agents SDK: the model, and how the tool calls of a turn run and end."""

from typing import Any

from agents import (
    RunConfig,
    RunContextWrapper,
    ToolExecutionConfig,
    set_default_openai_api,
    set_default_openai_client,
)
from openai import AsyncOpenAI
from restate import TerminalError
from restate.ext.openai import raise_terminal_errors

import durable.exact.openai_agents  # noqa: F401 - replaces Restate's own way into the journal
from durable.held_steps import causes
from shared import llm

AT_ONCE = RunConfig(tool_not_found_behavior="return_error_to_model")
"""Tells the model that a tool does not exist; the SDK would end the run."""

ONE_BY_ONE = RunConfig(
    tool_not_found_behavior="return_error_to_model",
    tool_execution=ToolExecutionConfig(max_function_tool_concurrency=1),
)
"""The same, one tool call at a time: otherwise the end of another call can hide a call's terminal error."""


def openai_model(role: str = "") -> str:
    """The name of the model. Sets the SDK's client so that it reaches the model."""
    name = llm.openai_model(role)
    set_default_openai_client(AsyncOpenAI(http_client=llm.http_client()))
    set_default_openai_api("chat_completions" if llm.openai_wire() == "chat" else "responses")
    # The SDK reads the part before a slash as a provider's name, and removes it from the model's name.
    return f"openai/{name}" if "/" in name else name


def keep_terminal_errors(tool_context: RunContextWrapper[Any], error: Exception) -> str:
    """A `failure_error_function`: a TerminalError ends the run unchanged, with its status code.

    The integration's `raise_terminal_errors` makes a new error from the message alone, with code 500. It handles all
    other errors: it tells the model about arguments that do not fit, and raises the rest. An agent inside the tool
    raises an error of the SDK, whose cause is the terminal error.
    """
    for cause in causes(error):
        if isinstance(cause, TerminalError):
            raise cause
    return raise_terminal_errors(tool_context, error)
