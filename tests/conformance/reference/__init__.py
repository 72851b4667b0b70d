"""The pattern as the documentation of each SDK's integration has it, with nothing added: what the suite says of it."""
