"""The domain of the agents: claims, checks and the weather, which model they talk to, and how they are served."""
