"""The agents on Pydantic AI."""
