"""The agents of new projects, one for each framework: `my_agent` and `MyAgent` become the name of the project."""
