"""Gemini, asked again after a malformed function call."""

from collections.abc import AsyncGenerator

from google.adk.models import Gemini
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai.types import FinishReason


class GeminiAskedAgain(Gemini):
    """Gemini, but a tool call that it writes wrongly is an error of the model call, so that its step is retried.

    Such an error passes when the model is asked again; ADK would end the turn."""

    async def generate_content_async(
        self, llm_request: LlmRequest, stream: bool = False
    ) -> AsyncGenerator[LlmResponse, None]:
        async for response in super().generate_content_async(llm_request, stream):
            if response.error_code == FinishReason.MALFORMED_FUNCTION_CALL:
                raise ValueError(f"the model's answer: {response.error_code}: {response.error_message}")
            yield response
