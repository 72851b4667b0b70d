"""Gemini, asked again after a malformed function call, and its answer at the end of a run."""

from collections.abc import AsyncGenerator
from contextlib import aclosing

from google.adk.events import Event
from google.adk.models import Gemini
from google.adk.models.llm_request import LlmRequest
from google.adk.models.llm_response import LlmResponse
from google.genai.types import FinishReason
from restate import TerminalError

from shared import llm


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


async def answer_of(events: AsyncGenerator[Event, None]) -> str:
    """The model's answer at the end of a run of ADK, which is closed: what is left of it may not end in another claim.

    Raises: TerminalError when the model says nothing, or asks for tools in every one of `MAX_TURNS` turns.
    """
    answer, problem, turns = "", "", 0
    async with aclosing(events):
        async for event in events:
            # ADK's own limit (max_llm_calls) does not count the calls that Restate's plugin makes in its stead.
            turns += bool(event.get_function_calls())
            if turns == llm.MAX_TURNS:
                raise TerminalError(f"the model gave no answer in {turns} turns")
            problem = f"{event.error_code}: {event.error_message}" if event.error_code else problem
            if event.is_final_response() and event.content and event.content.parts:
                answer = "".join(part.text or "" for part in event.content.parts if not part.thought)
    return llm.answer(answer, problem=problem)
