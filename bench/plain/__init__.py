"""The same agents without Restate, which the benchmark compares with the durable ones."""
