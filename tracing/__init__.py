"""OpenTelemetry traces of a claim: the agent's model calls, tool calls and checks."""
