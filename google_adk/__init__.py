"""The agents on Google ADK."""
