"""Millions of steps on a real Restate, while steps fail and agents and server are killed: no finished step reruns."""
