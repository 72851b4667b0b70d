"""The judge: it tries to break a durable agent from outside, and says what it saw."""
