"""The agents without an agent SDK: a loop of our own on the Restate SDK."""
