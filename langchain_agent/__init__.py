"""The agents on LangChain."""
