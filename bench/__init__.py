"""The benchmark: the cost of durability, other durable runtimes, growth, and process starts."""
