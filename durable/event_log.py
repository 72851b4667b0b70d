"""The events of each invocation, in order and without repeats: a Virtual Object whose key is the invocation's id.

Agents report their progress and their tokens (`durable.streaming`); after a crash, they repeat reports. The log turns
reports into events of the AG-UI protocol: https://docs.ag-ui.com/concepts/events. Three rules keep it correct:

- The log does not record an event that a report repeats.
- The journal decides the text of a message: when a model call is in the journal, its text completes the message.
- The log takes back tokens that are not the beginning of that text, and the tokens of an attempt that was followed by
  another: the message ends, and the event `CUSTOM` named `restart` says which message does not count.

A Virtual Object has one writer at a time, and Restate keeps its state, so any number of servers may read the log.
"""

import asyncio
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import timedelta
from typing import Annotated, Any, Literal

import restate
from ag_ui.core import (
    BaseEvent,
    CustomEvent,
    RunErrorEvent,
    RunFinishedEvent,
    RunStartedEvent,
    StepFinishedEvent,
    StepStartedEvent,
    TextMessageContentEvent,
    TextMessageEndEvent,
    TextMessageStartEvent,
    ToolCallArgsEvent,
    ToolCallEndEvent,
    ToolCallStartEvent,
)
from pydantic import BaseModel, Field

KEPT = timedelta(days=1)
"""The retention of an invocation's events: Restate's default for a journal."""


class Tokens(BaseModel):
    """A piece of a message, from an attempt of a model call. It starts `at` characters into the message."""

    kind: Literal["tokens"] = "tokens"
    message: int
    """The number of the model call in its invocation."""
    attempt: str
    at: int
    text: str


class Call(BaseModel):
    """A tool call of a model's turn."""

    id: str
    name: str
    arguments: str
    """JSON."""


class Turn(BaseModel):
    """A model's turn that is in the journal."""

    kind: Literal["turn"] = "turn"
    message: int
    text: str
    calls: list[Call]


class Step(BaseModel):
    """A step that has begun, or whose result is in the journal."""

    kind: Literal["step"] = "step"
    step: int
    """Its number in the journal."""
    name: str
    ended: bool


class Note(BaseModel):
    """A report of the application, such as a wait for a person. Each key is reported once."""

    kind: Literal["note"] = "note"
    key: str
    name: str
    value: Any


Report = Annotated[Tokens | Turn | Step | Note, Field(discriminator="kind")]


class Reports(BaseModel):
    """A batch of reports, in order."""

    reports: list[Report]


class End(BaseModel):
    """The end of the invocation: an answer, or an error and its status."""

    answer: Any = None
    error: str | None = None
    code: int = 500


class Message(BaseModel):
    """The record of a model call's text."""

    attempts: list[str] = []
    """The last one produced `text`."""
    text: str = ""
    open: bool = False
    done: bool = False
    """Whether the journal has its text."""


class Log(BaseModel):
    """The state on which the next event depends. The events themselves are in other state entries."""

    invocation: str
    count: int = 0
    """The number of events, which is the id of the next one."""
    firsts: list[int] = []
    """The id of the first event of each batch."""
    ended: bool = False
    messages: dict[int, Message] = {}
    steps: dict[int, bool] = {}
    """The steps that have begun, and whether each has ended."""
    notes: list[str] = []

    def record(self, reports: Iterable[Report]) -> list[BaseEvent]:
        """The events that these reports add."""
        if self.ended:
            return []
        events = self._begun()
        for report in reports:
            match report:
                case Tokens():
                    events += self._tokens(report)
                case Turn():
                    events += self._turn(report)
                case Step():
                    events += self._step(report)
                case Note() if report.key not in self.notes:
                    self.notes.append(report.key)
                    events.append(CustomEvent(name=report.name, value=report.value))
        self.count += len(events)
        return events

    def end(self, end: End) -> list[BaseEvent]:
        """The last events of the invocation."""
        if self.ended:
            return []
        events = self._begun()
        for number, message in self.messages.items():
            if message.open:
                events += self._taken_back(number, message)
        if end.error is None:
            events.append(
                RunFinishedEvent(thread_id=self.invocation, run_id=self.invocation, result=end.answer),
            )
        else:
            events.append(RunErrorEvent(message=end.error, code=str(end.code)))
        self.ended = True
        self.count += len(events)
        return events

    def _begun(self) -> list[BaseEvent]:
        return [] if self.count else [begin(self.invocation)]

    def _tokens(self, report: Tokens) -> Iterator[BaseEvent]:
        message = self.messages.setdefault(report.message, Message())
        if message.done or report.attempt in message.attempts[:-1]:
            return
        if message.attempts[-1:] != [report.attempt]:
            if message.open:
                yield from self._taken_back(report.message, message)
            message.attempts.append(report.attempt)
        if report.at <= len(message.text):  # otherwise a piece is missing, and the journal will complete the text
            yield from self._said(report.message, message, report.text[len(message.text) - report.at :])

    def _turn(self, report: Turn) -> Iterator[BaseEvent]:
        message = self.messages.setdefault(report.message, Message())
        if message.done:
            return
        if message.open and not report.text.startswith(message.text):
            yield from self._taken_back(report.message, message)
            message.attempts.append("")
        yield from self._said(report.message, message, report.text[len(message.text) :])
        if message.open:
            yield TextMessageEndEvent(message_id=message_id(report.message, message))
        for call in report.calls:
            yield ToolCallStartEvent(tool_call_id=call.id, tool_call_name=call.name)
            if call.arguments:
                yield ToolCallArgsEvent(tool_call_id=call.id, delta=call.arguments)
            yield ToolCallEndEvent(tool_call_id=call.id)
        self.messages[report.message] = Message(done=True)

    def _said(self, number: int, message: Message, text: str) -> Iterator[BaseEvent]:
        if text:
            if not message.open:
                yield TextMessageStartEvent(message_id=message_id(number, message), role="assistant")
            yield TextMessageContentEvent(message_id=message_id(number, message), delta=text)
            message.text, message.open = message.text + text, True

    def _taken_back(self, number: int, message: Message) -> Iterator[BaseEvent]:
        id = message_id(number, message)
        yield TextMessageEndEvent(message_id=id)
        yield CustomEvent(name="restart", value={"messageId": id})
        message.text, message.open = "", False

    def _step(self, report: Step) -> Iterator[BaseEvent]:
        if report.step not in self.steps:
            self.steps[report.step] = False
            yield StepStartedEvent(step_name=report.name)
        if report.ended and not self.steps[report.step]:
            self.steps[report.step] = True
            yield StepFinishedEvent(step_name=report.name)


def begin(invocation: str) -> BaseEvent:
    """The first event of an invocation, with the id 0."""
    return RunStartedEvent(thread_id=invocation, run_id=invocation)


def as_json(event: BaseEvent) -> str:
    """The JSON of an event, as AG-UI sends it."""
    return event.model_dump_json(by_alias=True, exclude_none=True)


def message_id(number: int, message: Message) -> str:
    """The id of a model call's message: `1`, or `1.2` in its second attempt."""
    return str(number) if len(message.attempts) < 2 else f"{number}.{len(message.attempts)}"


class Events(BaseModel):
    """Events as JSON. `first` is the id of the first one; `ended` is true if the last one ends the invocation."""

    first: int
    events: list[str]
    ended: bool


LISTENERS = defaultdict[str, set[asyncio.Queue[Events]]](set)
"""The listeners in this process, by invocation. Each gets the events that are recorded here, immediately."""

event_log = restate.VirtualObject("AgentEvents", journal_retention=timedelta(0))


@event_log.handler()
async def record(ctx: restate.ObjectContext, happened: Reports) -> None:
    log = await _log(ctx)
    await _add(ctx, log, log.record(happened.reports))


@event_log.handler()
async def end(ctx: restate.ObjectContext, how: End) -> None:
    log = await _log(ctx)
    await _add(ctx, log, log.end(how))


@event_log.handler()
async def forget(ctx: restate.ObjectContext) -> None:
    ctx.clear_all()


@event_log.handler(kind="shared")
async def read(ctx: restate.ObjectSharedContext, first: int) -> Events:
    """The events from the one with the id `first` on."""
    log = await ctx.get("log", type_hint=Log) or Log(invocation=ctx.key())
    events: list[str] = []
    begin = first
    if first < log.count:
        batches = log.firsts[bisect_right(log.firsts, first) - 1 :]
        begin = batches[0]
        for batch in batches:
            events += await ctx.get(f"events {batch}", type_hint=list[str]) or []
    return Events(first=first, events=events[first - begin :], ended=log.ended)


async def _log(ctx: restate.ObjectContext) -> Log:
    if log := await ctx.get("log", type_hint=Log):
        return log
    ctx.object_send(forget, ctx.key(), None, send_delay=KEPT)
    return Log(invocation=ctx.key())


async def _add(ctx: restate.ObjectContext, log: Log, events: list[BaseEvent]) -> None:
    if events:
        first = log.count - len(events)
        log.firsts.append(first)
        written = [*map(as_json, events)]
        ctx.set(f"events {first}", written)
        for listener in LISTENERS.get(ctx.key(), ()):
            listener.put_nowait(Events(first=first, events=written, ended=log.ended))
    ctx.set("log", log)
