"""A library for durable agents on Restate: steps that survive a sibling's failure, and parallel tool calls."""
