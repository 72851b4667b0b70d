"""The agents on the OpenAI Agents SDK."""
