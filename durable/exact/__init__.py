"""The journal holds what the model's server sent: one module per SDK, whose import is enough."""
