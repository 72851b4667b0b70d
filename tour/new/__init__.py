"""`tour new`: writes a new project, with an agent that is durable from the start, and tests that kill it."""
