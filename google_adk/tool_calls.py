"""Settings that let ADK tell the model about a wrong tool call, where it would hang."""

from typing import Any

from google.adk.features import FeatureName, override_feature_enabled
from google.adk.tools.base_tool import BaseTool
from google.adk.tools.tool_context import ToolContext

# Without it a tool is called with arguments that do not fit its signature, and fails on each retry.
override_feature_enabled(FeatureName.FUNCTION_TOOL_ARG_VALIDATION, True)


def refuse_unknown_tool(tool: BaseTool, args: dict[str, Any], tool_context: ToolContext) -> dict[str, str] | None:
    """A `before_tool_callback`: the answer to a call of a tool that does not exist; None for one that does.

    ADK would answer such a call itself, but outside the callbacks by which Restate's plugin passes the turn on to the
    next call: with other calls beside it the invocation would be retried for ever.
    """
    return {"error": f"there is no tool {tool.name}"} if type(tool) is BaseTool else None  # ADK's stand-in for it
