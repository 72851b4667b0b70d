"""Steps by the million on a real Restate, while steps fail and agents and server are killed: none runs again."""
