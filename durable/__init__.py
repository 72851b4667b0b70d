"""A library for durable agents on Restate: steps that outlive a sibling's failure, and parallel tool calls."""
