"""Variants of the agent: without Restate, as documented, with remote checks, with programs, for new projects."""
