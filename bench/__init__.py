"""The benchmark: the cost of durability, its growth, process starts, and other durable runtimes."""
