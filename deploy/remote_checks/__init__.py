"""The agents with the checks in a Restate service of their own."""
