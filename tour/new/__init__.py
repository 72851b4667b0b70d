"""`tour new`: a project of one's own, with an agent that is durable from the start, and tests that kill it."""
