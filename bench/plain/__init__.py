"""The agents without Restate, with which the benchmark compares the durable ones."""
