"""`tour web`: a live page on which a claim goes to all five, breaks where you want it to, and recovers.

Each browser tab has a claim of its own. Faults are planned for just that claim: its reason ends with a mark that no
other claim has, and the lab injects them where it finds the mark. The agents are shared: a process that is killed takes
part of everybody's claims with it, and they all recover.
"""

import asyncio
import contextlib
import secrets
import socket
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from nicegui import ui
from pydantic import ValidationError
from starlette.middleware.trustedhost import TrustedHostMiddleware

from shared.claims import InsuranceClaim, sample_claims
from shared.lab import Entry, Fault
from shared.sockets import listen
from tour import code, journal, report
from tour.errors import TourError
from tour.frameworks import FRAMEWORKS, Framework
from tour.journal import Invocation
from tour.processes import who_listens
from tour.report import TEMPLATES
from tour.stack import CHECKS, Stack

READING = 0.25
"""Seconds between two readings of the journal."""

CHECK_FAULTS: dict[str, tuple[Fault, ...]] = {
    "works": (),
    "fails twice": (Fault("", "fail", times=2),),
    "takes 3 s longer": (Fault("", "delay", 3),),
    "is killed with its process before the work": (Fault("", "crash-before"),),
    "is killed with its process after the work": (Fault("", "crash-after"),),
    "ends with an error 422": (Fault("", "terminal", 422),),
}
MODEL_FAULTS: dict[str, tuple[Fault, ...]] = {
    "works": (),
    "answers 429 twice": (Fault("", "status", 429, times=2),),
    "answers 500 twice": (Fault("", "status", 500, times=2),),
    "hangs up in mid-answer": (Fault("", "cut"),),
}
FIELDS = {
    "date": "Date",
    "category": "Category",
    "reason": "Reason",
    "amount": "Amount in US dollars",
    "placeOfService": "Place of service",
}
VERDICT_COLORS = {"Approved": "positive", "Rejected": "negative", "Needs review": "warning", "error": "negative"}


async def serve(stack: Stack, listener: socket.socket) -> None:
    """Serve the page until cancelled; an agent that ends meanwhile is started again."""
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])

    @ui.page("/", title="Tour of Agents")
    def page() -> None:
        Tab(stack).build()

    ui.run_with(app, dark=None, show_welcome_message=False)
    server = _Server(
        uvicorn.Config(app, log_config=None, log_level="warning", access_log=False, timeout_graceful_shutdown=1)
    )
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    try:
        async with stack.agents_kept():
            await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await serving


class _Server(uvicorn.Server):
    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield  # Ctrl-C is for the command line to handle: it also stops the rest


def port_of_page(port: int) -> socket.socket:
    """The page's listener on loopback; port 0 takes a free one. Raises: TourError when the port is taken."""
    try:
        return listen("127.0.0.1", port)
    except OSError as error:
        raise TourError(
            f"The page cannot listen on port {port}: {error} ({who_listens(port)})",
            "Stop that program, or choose another port: uv run tour web --port 8071",
        ) from error


@dataclass
class Sent:
    """A claim on its way: the invocation of each framework, and the answers so far."""

    invocations: dict[str, str]
    answers: dict[str, str] = field(default_factory=dict)

    @property
    def done(self) -> bool:
        return len(self.answers) == len(self.invocations)


@dataclass
class Card:
    """What is shown of one framework: its elements on the page."""

    drawing: ui.html
    verdict: ui.badge
    answer: ui.label
    page: ui.link


class Tab:
    """One browser tab: its form, the claim that it sent, and a timeline for each framework."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.sent: Sent | None = None
        self.cards: dict[str, Card] = {}
        self.fields: dict[str, Any] = {}
        self.faults: dict[str, ui.select] = {}

    def build(self) -> None:
        """Lay out the page."""
        ui.add_css(TEMPLATES.get_template("look.css").render() + _LAYOUT)
        ui.colors(primary="#1f6feb", positive="#1a7f4b", negative="#c4291c", warning="#8a6d00")
        dark = ui.dark_mode(None)
        with ui.header().classes("bar"):
            ui.label("Tour of Agents").classes("name").props("role=heading aria-level=1")
            with ui.tabs().props("no-caps") as tabs:
                live = ui.tab("One claim, five frameworks")
                sources = ui.tab("Their code")
            ui.space()
            ui.link("Restate UI", f"{self.stack.restate.admin}/ui", new_tab=True)
            ui.toggle({None: "auto", False: "light", True: "dark"}, value=None).bind_value_to(dark, "value").props(
                "dense flat no-caps aria-label='Light or dark'"
            )
        with ui.tab_panels(tabs, value=live, animated=False).classes("w-full"):
            with ui.tab_panel(live), ui.element("div").classes("live"):
                with ui.element("form").classes("claim").on("submit.prevent", self.send):
                    self._form()
                with ui.element("div").classes("cards").style(f"--frameworks: {len(FRAMEWORKS)}"):
                    for framework in FRAMEWORKS:
                        self.cards[framework.name] = self._card(framework)
            with ui.tab_panel(sources):
                self._code()
        self.timer = ui.timer(READING, self.refresh, active=False)
        self._draw({}, [])

    def _form(self) -> None:
        samples = sample_claims()
        ui.select(
            list(samples), label="Sample", value="broken-leg", on_change=lambda event: self._fill(samples[event.value])
        )
        for name, label in FIELDS.items():
            self.fields[name] = (
                ui.number(label, format="%.2f")
                if name == "amount"
                else ui.textarea(label).props("autogrow")
                if name == "reason"
                else ui.input(label)
            )
            self.fields[name].props("dense")
        self._fill(samples["broken-leg"])
        ui.label("What shall go wrong").classes("name").props("role=heading aria-level=2")
        for step, faults in {"model": MODEL_FAULTS, **dict.fromkeys(CHECKS, CHECK_FAULTS)}.items():
            label = "The model" if step == "model" else f"The check {step}"
            self.faults[step] = ui.select(list(faults), label=label, value="works").props("dense")
        self.button = ui.button("Send to all five").props("type=submit no-caps")
        self.ledger = ui.label().props("role=status")
        ui.html(_part("legend")).classes("soft")

    def _fill(self, claim: InsuranceClaim) -> None:
        for name, value in claim.model_dump(mode="json").items():
            self.fields[name].value = value
            self.fields[name].error = None

    def _card(self, framework: Framework) -> Card:
        with ui.card().classes("card"):
            with ui.row().classes("head"):
                ui.label(framework.title).classes("name")
                verdict = ui.badge()
                answer = ui.label().classes("answer")
                page = ui.link("invocation", target="", new_tab=True)
                ui.button("kill -9", on_click=lambda: self.kill(framework), color=None).props(
                    f"dense flat no-caps aria-label='kill -9 {framework.title}'"
                ).classes("kill")
            drawing = ui.html().classes("w-full")
        return Card(drawing, verdict, answer, page)

    def _code(self) -> None:
        chosen = {framework.name: True for framework in FRAMEWORKS}
        shown = ui.html()

        def show() -> None:
            some = [framework for framework in FRAMEWORKS if chosen[framework.name]]
            shown.content = _part("code", some, code.regions(some))

        with ui.row() as choice:
            for framework in FRAMEWORKS:
                ui.checkbox(framework.title, value=True, on_change=show).bind_value_to(chosen, framework.name)
        choice.move(target_index=0)
        ui.label("Read from the files as they are; what most of them share is dimmed.").classes("soft").move(
            target_index=1
        )
        show()

    async def send(self) -> None:
        """Send the claim of the form to all frameworks at once, with the faults that were chosen."""
        for input in self.fields.values():
            input.error = None
        faults = [
            replace(fault, step=step)
            for step, choice in self.faults.items()
            for fault in (MODEL_FAULTS if step == "model" else CHECK_FAULTS)[choice.value]
        ]
        given = {name: input.value for name, input in self.fields.items()}
        mark = f" (#{secrets.token_hex(3)})" if faults else ""
        try:
            claim = InsuranceClaim.model_validate({**given, "reason": given["reason"] + mark})
        except ValidationError as error:
            for problem in error.errors():
                self.fields[str(problem["loc"][0])].error = problem["msg"]
            ui.notify("The claim is not valid: see the fields marked red.", type="negative")
            return
        self.stack.lab.plan(*(replace(fault, about=mark.strip()) for fault in faults))
        person = f"web-{secrets.token_hex(4)}"
        self.button.disable()
        try:
            ids = await asyncio.gather(
                *(self.stack.submit(framework, claim, person, person) for framework in FRAMEWORKS)
            )
        except (TourError, httpx.HTTPError) as error:
            ui.notify(f"Restate did not take the claim: {error}", type="negative")
            self.button.enable()
            return
        self.sent = Sent({f.name: id for f, id in zip(FRAMEWORKS, ids, strict=True)})
        for framework in FRAMEWORKS:
            card = self.cards[framework.name]
            card.page.props(f"href={self.stack.page(self.sent.invocations[framework.name])}")
            card.page.set_visibility(True)
        self.timer.activate()

    async def refresh(self) -> None:
        """Read the journal and the ledger, and draw what they say."""
        sent = self.sent
        if sent is None:
            return
        ids = sent.invocations
        try:
            seen = await journal.read(self.stack.admin, *ids.values())
            for name, id in ids.items():
                if name not in sent.answers and id in seen and seen[id].completed:
                    sent.answers[name] = await self.stack.answer(id)
        except httpx.HTTPError as error:
            self.ledger.text = f"Restate does not answer: {error!r}"
            return
        self._draw(seen, self.stack.lab.ledger(invocations=ids.values()))
        if sent.done:
            self.timer.deactivate()
            self.button.enable()

    async def kill(self, framework: Framework) -> None:
        """`kill -9` of a framework's agent; the stack starts it again."""
        await self.stack.agents[framework.name].process.kill()
        ui.notify(f"{framework.title}: kill -9. Its process is started again, and its claims go on.")

    def _draw(self, seen: Mapping[str, Invocation], ledger: Sequence[Entry]) -> None:
        sent = self.sent
        now = time.time() * 1000
        longest = max([2000.0, *((each.completed or now) - each.created for each in seen.values())])
        for framework in FRAMEWORKS:
            card = self.cards[framework.name]
            invocation = seen.get(sent.invocations[framework.name]) if sent else None
            answer = sent.answers.get(framework.name, "") if sent else ""
            if sent is None or invocation is None:
                card.verdict.set_visibility(False)
                card.page.set_visibility(False)
                continue
            run = report.run_of(answer, invocation, ledger, (0, 0), card.page.text)
            passed = (invocation.completed or now) - invocation.created
            card.drawing.content = _part(
                "timeline", framework.title, run, longest, width=820, now=passed, heading=False
            )
            card.answer.text = answer
            card.verdict.text = run.verdict if answer else invocation.status
            card.verdict.props(f"color={VERDICT_COLORS.get(run.verdict, 'grey') if answer else 'grey'}")
            card.verdict.set_visibility(True)
        if sent:
            events = [entry.event for entry in ledger]
            self.ledger.text = (
                f"{len(sent.answers)} of {len(FRAMEWORKS)} answered. "
                f"Ledger: {events.count('start')} checks started, {events.count('end')} ended, "
                f"{events.count('injected')} faults injected into them."
            )


def _part(name: str, *args: Any, **kwargs: Any) -> str:
    """A macro of templates/parts.html, in which everything that is inserted is escaped."""
    return str(getattr(TEMPLATES.get_template("parts.html").module, name)(*args, **kwargs))


_LAYOUT = Path(__file__).with_name("templates").joinpath("web.css").read_text()
