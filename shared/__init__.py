"""The domain of the agents: claims, checks and the weather, the model they talk to, and the server they run in."""
