"""The journal holds exactly the answers of the model's server: one module per SDK, which only needs to be imported."""
