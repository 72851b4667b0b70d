"""How Google's client tries a model call again, as OpenAI's client does unasked."""

from google.genai import types

RETRIES = types.HttpRetryOptions(attempts=3, initial_delay=0.5, http_status_codes=[408, 429, 500, 502, 503, 504])
