"""How the tool calls of a turn run, and how one ends that fails."""

from typing import Any

from agents import RunConfig, RunContextWrapper, ToolExecutionConfig
from restate import TerminalError
from restate.ext.openai import raise_terminal_errors

from durable.held_steps import causes

AT_ONCE = RunConfig(tool_not_found_behavior="return_error_to_model")
"""The model is told of a tool that does not exist, where the SDK would end the run."""

ONE_BY_ONE = RunConfig(
    tool_not_found_behavior="return_error_to_model",
    tool_execution=ToolExecutionConfig(max_function_tool_concurrency=1),
)
"""The same, one tool call at a time: else the terminal error of one can be lost among the others' ends."""


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
