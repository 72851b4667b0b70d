"""The program around the five agents: CLI, embedded Restate server, comparison."""
