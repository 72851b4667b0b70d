"""The command `tour`, which runs all agents side by side on one Restate, compares them, and breaks them on purpose."""
