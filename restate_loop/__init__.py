"""The agents without an agent SDK: our own loop on the Restate SDK."""
