"""The model's decision: a turn computed only from the conversation."""

import ast
import json
import re
from contextlib import suppress
from typing import Any

from offline_model.conversation import Conversation, Tool, ToolCall, Turn
from offline_model.schema import fill, not_a_number

VERDICTS = ("Approved:", "Rejected:", "Needs review:")

NO_VERDICT = "No decision:"

_SO_FAR = "claims decided so far"
_SUMMARIZE = re.compile(r"\bsummari[sz]e\b", re.IGNORECASE)

_VOCABULARY = (
    r"eligible|not eligible: .+",
    r"reasonable|above standard rates: by .+",
    r"(low|medium|high) risk: .+",
)

_REPORTS = re.compile(r"\breport\b", re.IGNORECASE)
"""The instructions of a specialist, or of the weather agent, ask for a report instead of a decision."""

_BY_A_PERSON = re.compile(r"(approved|refused) by a person: .+|refused: .+")
"""The outcome of a request for approval, which is final."""

_BETWEEN_CITIES = re.compile(
    r"[,;:?!&/()\n]|(?<!\bSt)\.(?=\s|$)|\b(?:and|or|in|for|at|near|with|than|compared to|versus|vs)\b",
    re.IGNORECASE,
)

_NO_CITY = re.compile(
    r"a|about|afternoon|are|can|check|could|currently|evening|find|forecast|get|give|hello|hey|hi|how|how's|i|is|it"
    r"|know|like|look|me|morning|my|need|next|night|now|please|report|right|show|tell|temperature|thanks|the|there"
    r"|these|this|today|tomorrow|tonight|want|warm|cold|weather|week|weekend|what|what's|which|will|would|you",
    re.IGNORECASE,
)


def decide(conversation: Conversation) -> Turn:
    """The model's turn: from the results of the last turn's tool calls, or calls that the prompt asks for.

    If the first turn's calls gave no result, it makes the right calls, once. Without tools, it summarizes a
    conversation when asked to.
    """
    if not conversation.tools and _SUMMARIZE.search(conversation.prompt):
        return Turn(text=_summary(conversation.prompt))
    if conversation.results:
        answer = _conclude(conversation)
        if conversation.turn > 1 or not answer.startswith(NO_VERDICT):
            return Turn(text=answer)
    calls = [
        ToolCall(tool.name, json.dumps(arguments, ensure_ascii=False))
        for tool in conversation.tools
        for arguments in _arguments(tool, conversation.prompt)
    ]
    return Turn(calls=tuple(calls)) if calls else Turn(text=_what_is_missing(conversation.tools))


def _conclude(conversation: Conversation) -> str:
    places = {tool.name for tool in conversation.tools if tool.wants_place}
    reports = [line for r in conversation.results if r.name in places for line in lines_of(r.text)]
    checks = [line for r in conversation.results if r.name not in places for line in lines_of(r.text) or ["no text"]]
    sentences = [f"{line.rstrip('.')}." for line in reports]
    if not reports and _REPORTS.search(conversation.system):
        return _report(checks)
    if checks or not reports:
        decided = sum(_decided_in(text) for text in conversation.said_before)
        session = f" (claim {decided + 1} in this session)" if decided else ""
        sentences.insert(0, _verdict(checks) + session)
    return " ".join(sentences)


def _report(lines: list[str]) -> str:
    """These check results, unchanged."""
    if lines and all(any(re.fullmatch(words, line) for words in _VOCABULARY) for line in lines):
        return "; ".join(lines)
    return _none(lines)


def _verdict(lines: list[str]) -> str:
    """The decision on these check results, quoting them; any other line means that a check failed."""
    by_check = [[line for line in dict.fromkeys(lines) if re.fullmatch(words, line)] for words in _VOCABULARY]
    decided = [line for line in lines if _BY_A_PERSON.fullmatch(line)][-1:]
    quoted = [line for check in [*by_check, decided] for line in check]
    other = [line for line in lines if line not in quoted]
    if other or not all(by_check):
        return _none(other or lines)
    if decided:
        verdict = "Approved:" if decided[0].startswith("approved") else "Rejected:"
    elif any(line.startswith(("not eligible", "high risk")) for line in quoted):
        verdict = "Rejected:"
    elif any(line.startswith(("above", "medium risk")) for line in quoted):
        verdict = "Needs review:"
    else:
        verdict = "Approved:"
    return f"{verdict} {'; '.join(quoted)}."


def _none(lines: list[str]) -> str:
    said = " ".join(" ".join(lines or ["no tool result"]).split())
    return f"{NO_VERDICT} {said if len(said) <= 300 else said[:299] + '…'}"


def lines_of(result: str) -> list[str]:
    """The strings in a tool result: of JSON, of a Python literal (`str` of a list), else its lines.

    A mapping with an `error` gives only that error, as `error: …`, so that no word in it counts as a result.
    """
    text = result.strip()
    if text.startswith(("[", "(", "{", '"', "'")):
        for parse in (json.loads, ast.literal_eval):
            with suppress(ValueError, SyntaxError, RecursionError, MemoryError):
                return _strings(parse(text))
    return [line.strip(" \t-*•") for line in text.splitlines() if line.strip(" \t-*•")]


def _strings(value: Any) -> list[str]:
    match value:
        case {"error": error} if error:
            return [f"error: {error}"]
        case dict():
            return [line for part in value.values() for line in _strings(part)]
        case list() | tuple():
            return [line for part in value for line in _strings(part)]
        case str():
            return lines_of(value)
    return [str(value)]


def _arguments(tool: Tool, prompt: str) -> list[dict[str, Any]]:
    """The arguments of each call to a tool that a prompt asks for: from a JSON object, or one call per city."""
    objects = _objects(prompt)
    for value in objects:
        if arguments := fill(tool.parameters, value):
            return [arguments]
    if objects or not tool.wants_place:  # a city in a claim is not a question about the city
        return []
    return [{tool.parameters["required"][0]: city} for city in _cities(prompt)]


def _objects(prompt: str) -> list[dict[str, Any]]:
    """The outermost JSON objects in a prompt. Their strings stay data, even if they hold JSON."""
    decoder = json.JSONDecoder(parse_constant=not_a_number)
    objects, at = [], 0
    while (at := prompt.find("{", at)) >= 0:
        try:
            value, at = decoder.raw_decode(prompt, at)
            objects.append(value)
        except (ValueError, RecursionError):
            at += 1
    return objects


def _cities(question: str) -> list[str]:
    """The cities in a question, without repeats. Lower-case names count only after `in`, `for` …"""
    named = re.search(r"\b(?:in|for|at|near)\s+(.*)", question, re.IGNORECASE | re.DOTALL)
    found = []
    for part in _BETWEEN_CITIES.split(named[1] if named else question):
        words = part.split()
        while words and _NO_CITY.fullmatch(words[0]):
            words.pop(0)
        while words and _NO_CITY.fullmatch(words[-1]):
            words.pop()
        found.append(" ".join(words).strip("\"'"))
    cities = [city for city in found if city and not city[0].islower()]
    return list(dict.fromkeys(cities or [city for city in found if city and named]))


def _summary(history: str) -> str:
    """The summary of a conversation in ADK's form: an author and a text on each line."""
    said = [line.partition(": ") for line in history.splitlines()]
    decided = sum(_decided_in(text) for author, _, text in said if author != "user")
    return f"Conversation language: English. {decided} {_SO_FAR}."


def _decided_in(text: str) -> int:
    """The number of claims that a text of the model decides: one for a decision, the stated number for a summary."""
    summary = re.search(rf"(\d+) {_SO_FAR}", text)
    return int(summary[1]) if summary else int(text.startswith(VERDICTS))


def _what_is_missing(tools: tuple[Tool, ...]) -> str:
    if not tools:
        return "I can only call tools, and this request offers none."
    needs = (
        f"I can call {tool.name} for each city that you name; which city?"
        if tool.wants_place
        else f"I can call {tool.name} with JSON that gives {', '.join(tool.parameters.get('required', []))}."
        for tool in tools
    )
    return " ".join(needs)
