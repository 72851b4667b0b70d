"""Parallel tool calls for each agent SDK: one module per SDK, which imports no other SDK."""
