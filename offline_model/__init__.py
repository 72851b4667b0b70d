"""A deterministic model server that speaks the wires of OpenAI and Google, with no key and no network."""
