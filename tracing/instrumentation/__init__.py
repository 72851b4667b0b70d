"""The spans of each agent SDK: one module per framework."""
