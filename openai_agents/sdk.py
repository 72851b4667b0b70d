"""What the agents on the OpenAI Agents SDK share: the model, and how the tool calls of a turn run and end."""

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
"""The model is told of a tool that does not exist, where the SDK would end the run."""

ONE_BY_ONE = RunConfig(
    tool_not_found_behavior="return_error_to_model",
    tool_execution=ToolExecutionConfig(max_function_tool_concurrency=1),
)
"""The same, one tool call at a time: else the terminal error of one can be lost among the others' ends."""


def openai_model(role: str = "") -> str:
    """The name of the model, the SDK set so that its client reaches it."""
    name = llm.openai_model(role)
    set_default_openai_client(AsyncOpenAI(http_client=llm.http_client()))
    set_default_openai_api("chat_completions" if llm.openai_wire() == "chat" else "responses")
    # The SDK takes what is before a slash for the name of a provider, and asks the provider without it.
    return f"openai/{name}" if "/" in name else name


def keep_terminal_errors(tool_context: RunContextWrapper[Any], error: Exception) -> str:
    """A `failure_error_function`: a TerminalError ends the run as it is, with its status code.

    The integration's own `raise_terminal_errors` makes a new error of its message alone, whose code is always 500.
    Other errors are left to it: it tells the model about arguments that do not fit, and raises the rest. The error of
    an agent inside the tool is the SDK's, and has the terminal error as its cause.
    """
    for cause in causes(error):
        if isinstance(cause, TerminalError):
            raise cause
    return raise_terminal_errors(tool_context, error)
