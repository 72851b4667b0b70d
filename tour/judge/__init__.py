"""The judge, which tries to break a durable agent from outside, and reports what happened."""
