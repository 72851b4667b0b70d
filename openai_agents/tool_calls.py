"""What the OpenAI Agents SDK needs so that a tool's terminal error ends the claim, and keeps its status code."""

from typing import Any

from agents import RunContextWrapper, ToolExecutionConfig
from restate import TerminalError
from restate.ext.openai import raise_terminal_errors

ONE_AT_A_TIME = ToolExecutionConfig(max_function_tool_concurrency=1)
"""Restate's integration runs the tool calls of a turn in order; with this the SDK does not even start them all at once.

Else a terminal error in a call that is not the last one is lost: the calls that wait behind it are ended with an
internal error, the SDK lets that one win, and the invocation is retried for ever.
"""


def keep_terminal_errors(run: RunContextWrapper[Any], error: Exception) -> str:
    """A `failure_error_function`: a TerminalError ends the run as it is, with its status code.

    The integration's own `raise_terminal_errors` makes a new error of its message alone, whose code is always 500.
    Other errors are left to it: it tells the model about arguments that do not fit, and raises the rest.
    """
    if isinstance(error, TerminalError):
        raise error
    return raise_terminal_errors(run, error)
