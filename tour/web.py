"""`tour web`: a live page on which a claim goes to all agents at once, breaks as planned, and recovers.

Each browser tab has its own claim, and shows it again after a reload. The faults of a tab hit only its claim: the
claim's reason ends with a unique mark, and the lab injects the faults only where it finds the mark. All tabs share the
agents: a kill interrupts every claim that the agent works on, and all of them recover.
"""

import asyncio
import contextlib
import secrets
import socket
import time
import webbrowser
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import httpx
import uvicorn
from fastapi import FastAPI
from nicegui import app as nicegui_app
from nicegui import background_tasks, ui
from pydantic import ValidationError
from rich.console import Console
from starlette.middleware.trustedhost import TrustedHostMiddleware

from durable.streaming import LIVE
from lab.ledger import Entry, Fault
from offline_model.sockets import listen
from shared.claims import InsuranceClaim, sample_claims
from tour import code, report
from tour.approval_list import ApprovalList
from tour.boot import booted
from tour.lanes import Lane, Sent, views
from tour.report import TEMPLATES
from tour.runtime import journal
from tour.runtime.approvals import waiting
from tour.runtime.errors import TourError
from tour.runtime.frameworks import APPROVAL, FRAMEWORKS, STREAMING
from tour.runtime.journal import Invocation
from tour.runtime.processes import who_listens
from tour.runtime.stack import CHECKS, Stack

MOST_BELOW = 5
"""With more lanes than this, the text of each is beside its timeline rather than above it."""

READING = 0.25
"""Seconds between two readings of the journal."""

_CHECK_FAULTS: dict[str, Fault | None] = {
    "works": None,
    "fails twice": Fault("", "fail", times=2),
    "takes 3 s longer": Fault("", "delay", 3),
    "is killed with its process before the work": Fault("", "crash-before"),
    "is killed with its process after the work": Fault("", "crash-after"),
    "freezes its process": Fault("", "freeze"),
    "ends with an error 422": Fault("", "terminal", 422),
}
_MODEL_FAULTS: dict[str, Fault | None] = {
    "works": None,
    "answers 429 twice": Fault("", "status", 429, times=2),
    "answers 500 twice": Fault("", "status", 500, times=2),
    "hangs up in mid-answer": Fault("", "cut"),
    "is silent for 6 s in its second answer": Fault("", "stall", 6, times=9, turn=1),
}
FAULTS = {"model": _MODEL_FAULTS, **dict.fromkeys(CHECKS, _CHECK_FAULTS)}
"""The faults that the form offers for each step of a claim, in the form's words."""

FIELDS = {
    "date": "Date",
    "category": "Category",
    "reason": "Reason",
    "amount": "Amount in US dollars",
    "placeOfService": "Place of service",
}
VERDICT_COLORS = {"Approved": "positive", "Rejected": "negative", "Needs review": "warning", "error": "negative"}


async def run(port: int, model_latency: float, step_latency: float, console: Console, *, in_browser: bool) -> None:
    """Serve the page on a separate stack until cancelled; latencies in seconds. Raises: TourError."""
    listener = port_of_page(port)
    async with booted(FRAMEWORKS, model_latency, step_latency, console) as running:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        await running.resume()
        if found := await waiting(running.admin):
            console.print(f"Claims that wait for a person: {len(found)}. Choose “All agents: {APPROVAL.title}”.")
        console.print(f"The page: {url}   Ctrl-C stops everything.", highlight=False)
        if in_browser and not webbrowser.open(url):
            console.print("Cannot open a browser from here: open that address yourself.")
        await serve(running, listener)


async def serve(stack: Stack, listener: socket.socket) -> None:
    """Serve the page until cancelled. Restarts an agent that ends."""
    app = FastAPI(openapi_url=None)
    app.add_middleware(TrustedHostMiddleware, allowed_hosts=["127.0.0.1", "localhost"])

    @ui.page("/", title="Tour of Agents")
    async def page() -> None:
        tab = Tab(stack)
        tab.build()
        await ui.context.client.connected()
        tab.keep_in(nicegui_app.storage.tab)

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
        yield  # the command line handles Ctrl-C, and stops everything else


def port_of_page(port: int) -> socket.socket:
    """A socket that listens on this port of loopback; 0: a free port. Raises: TourError if the port is taken."""
    try:
        return listen("127.0.0.1", port)
    except OSError as error:
        raise TourError(
            f"The page cannot listen on port {port}: {error} ({who_listens(port)})",
            "Stop that program, or choose another port: uv run tour web --port 8071",
        ) from error


@dataclass
class Card:
    """The elements of one lane on the page."""

    drawing: ui.html
    verdict: ui.badge
    answer: ui.label
    restart: ui.label
    page: ui.link


class Tab:
    """One browser tab: its form, its sent claim, and a timeline for each lane of its view."""

    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.views = views(stack.frameworks)
        self.sent: Sent | None = None
        self.kept: MutableMapping[str, Sent] = {}
        self.cards: dict[Lane, Card] = {}
        self.fields: dict[str, Any] = {}
        self.faults: dict[str, ui.select] = {}

    def build(self) -> None:
        """Lay out the page."""
        for css in ("look.css", "web.css"):
            ui.add_css(TEMPLATES.get_template(css).render())
        ui.colors(primary="#1f6feb", positive="#1a7f4b", negative="#c4291c", warning="#8a6d00")
        dark = ui.dark_mode(None)
        with ui.header().classes("bar"):
            ui.label("Tour of Agents").classes("name").props("role=heading aria-level=1")
            with ui.tabs().props("no-caps") as tabs:
                live = ui.tab("One claim, side by side")
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
                with ui.element("div"):
                    self.approvals = ApprovalList(self.stack)
                    self.column = ui.element("div").classes("cards")
            with ui.tab_panel(sources):
                self._code()
        self.timer = ui.timer(READING, self.refresh, active=False)
        self._view()

    def _view(self) -> None:
        """Lay out the chosen lanes, without content."""
        lanes = self.views[self.view.value]
        self.approvals.timer.active = any(lane.pattern == APPROVAL for lane in lanes)
        self.sent = None
        self.kept.pop("sent", None)
        self.ledger.text = ""
        self.button.text = "Send it every way" if self.view.value.endswith("every way") else "Send to all agents"
        self.column.clear()
        self.column.classes(replace="cards many" if len(lanes) > MOST_BELOW else "cards")
        with self.column.style(f"--lanes: {len(lanes)}"):
            self.cards = {lane: self._card(lane) for lane in lanes}

    def _form(self) -> None:
        self.view = ui.select(list(self.views), label="Compare", value=next(iter(self.views)), on_change=self._view)
        self.view.props("dense")
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
        ui.label("Faults").classes("name").props("role=heading aria-level=2")
        for step, faults in FAULTS.items():
            label = "The model" if step == "model" else f"The check {step}"
            self.faults[step] = ui.select(list(faults), label=label, value="works").props("dense")
        self.button = ui.button().props("type=submit no-caps")
        self.ledger = ui.label().props("role=status")
        ui.html(_part("legend")).classes("soft")

    def _fill(self, claim: InsuranceClaim) -> None:
        for name, value in claim.model_dump(mode="json").items():
            self.fields[name].value = value
            self.fields[name].error = None

    def _card(self, lane: Lane) -> Card:
        with ui.card().classes("card"):
            with ui.row().classes("head"):
                ui.label(lane.title).classes("name")
                verdict = ui.badge()
                answer = ui.label().classes("answer live" if lane.pattern == STREAMING else "answer")
                page = ui.link("invocation", target="", new_tab=True)
                ui.button("kill -9", on_click=lambda: self.kill(lane), color=None).props(
                    f"dense flat no-caps aria-label='kill -9 {lane.title}'"
                ).classes("kill")
            drawing = ui.html().classes("w-full")
            restart = ui.label().classes("restart")
        verdict.set_visibility(False)
        page.set_visibility(False)
        return Card(drawing, verdict, answer, restart, page)

    def _code(self) -> None:
        chosen = {framework.name: True for framework in FRAMEWORKS}

        def show() -> None:
            some = [framework for framework in FRAMEWORKS if chosen[framework.name]]
            shown.content = _part("code", some, code.regions(some))

        with ui.row():
            for framework in FRAMEWORKS:
                ui.checkbox(framework.title, value=True, on_change=show).bind_value_to(chosen, framework.name)
        ui.label("Read from the agents' files; lines that most of them share are dimmed.").classes("soft")
        shown = ui.html()
        show()

    async def send(self) -> None:
        """Send the claim in the form to all lanes at once, with the chosen faults."""
        for input in self.fields.values():
            input.error = None
        faults = [
            replace(fault, step=step) for step, choice in self.faults.items() if (fault := FAULTS[step][choice.value])
        ]
        given = {name: input.value for name, input in self.fields.items()}
        mark = f" (#{secrets.token_hex(3)})" if faults else ""
        try:
            claim = InsuranceClaim.model_validate({**given, "reason": (given["reason"] or "") + mark})
        except ValidationError as error:
            for problem in error.errors():
                self.fields[str(problem["loc"][0])].error = problem["msg"]
            ui.notify("The claim is not valid: see the fields marked red.", type="negative")
            return
        self.stack.lab.plan(*(replace(fault, about=mark.strip()) for fault in faults))
        person = f"web-{secrets.token_hex(4)}"
        lanes = list(self.cards)
        self.button.disable()
        self.view.disable()
        try:
            for pattern in dict.fromkeys(lane.pattern for lane in lanes):
                self.ledger.text = f"Starting the agents, once: {pattern.title} …"
                await self.stack.add(pattern)
            self.ledger.text = "Sent."
            ids = await asyncio.gather(
                *(
                    self.stack.submit(lane.framework, claim, person, person, pattern=lane.pattern, headers=LIVE)
                    for lane in lanes
                )
            )
        except (TourError, httpx.HTTPError) as error:
            ui.notify(f"The claim could not be sent: {error}", type="negative")
            self._done()
            return
        sent = Sent(self.view.value, dict(zip(lanes, ids, strict=True)))
        for lane in lanes:
            if lane.pattern == STREAMING:
                background_tasks.create(sent.follow(lane, self.stack.streams[0].url))
        self._watch(sent)

    def keep_in(self, tab: MutableMapping[str, Sent]) -> None:
        """Store the sent claim where it survives a reload of the page, and resume a stored claim."""
        self.kept = tab
        if sent := tab.get("sent"):
            self.view.value = sent.view
            self._watch(sent)

    def _watch(self, sent: Sent) -> None:
        self.sent = self.kept["sent"] = sent
        for lane, card in self.cards.items():
            card.page.props(f"href={self.stack.page(sent.invocations[lane])}")
            card.page.set_visibility(True)
            card.answer.text = card.restart.text = ""
        self.button.disable()
        self.view.disable()
        self.timer.activate()

    def _done(self) -> None:
        self.timer.deactivate()
        self.button.enable()
        self.view.enable()

    async def refresh(self) -> None:
        """Read the journal and the ledger, and redraw the lanes."""
        sent = self.sent
        if sent is None:
            return
        ids = sent.invocations
        try:
            seen = await journal.read(self.stack.admin, *ids.values())
            for lane, id in ids.items():
                if lane not in sent.answers and id in seen and seen[id].completed:
                    sent.answers[lane] = await self.stack.answer(id)
        except httpx.HTTPError as error:
            self.ledger.text = f"Restate does not answer: {error!r}. If it has ended, start the tour again."
            return
        self._draw(sent, seen, self.stack.lab.ledger(invocations=ids.values()))
        if sent.done:
            self._done()

    async def kill(self, lane: Lane) -> None:
        """Kill the agent of a lane with `kill -9`; the stack starts it again."""
        agent = self.stack.agents_of(lane.pattern).get(lane.framework.name)
        if agent is None:
            ui.notify("It has not been started yet: the first claim starts it.")
            return
        await agent.process.kill()
        ui.notify(f"{lane.title}: killed with kill -9. The tour restarts it, and its claims continue.")

    def _draw(self, sent: Sent, seen: Mapping[str, Invocation], ledger: Sequence[Entry]) -> None:
        now = time.time() * 1000
        longest = max([2000.0, *((each.completed or now) - each.created for each in seen.values())])
        for lane, card in self.cards.items():
            invocation, answer = seen.get(sent.invocations[lane]), sent.answers.get(lane, "")
            if invocation is None:
                continue
            run = report.run_of(answer, invocation, ledger, (0, 0), self.stack.page(invocation.id))
            passed = (invocation.completed or now) - invocation.created
            card.drawing.content = _part("timeline", lane.title, run, longest, width=820, now=passed, heading=False)
            card.answer.text = answer or "\n".join(sent.texts[lane].values())
            restarts = self.stack.agents_of(lane.pattern)[lane.framework.name].restarts
            meanwhile = [each for each in restarts if each.at * 1000 > invocation.created]
            card.restart.text = f"{meanwhile[-1].why}, started again" if meanwhile else ""
            card.verdict.text = run.verdict if answer else invocation.status
            card.verdict.props(f"color={VERDICT_COLORS.get(run.verdict, 'grey') if answer else 'grey'}")
            card.verdict.set_visibility(True)
        events = [entry.event for entry in ledger]
        self.ledger.text = (
            f"{len(sent.answers)} of {len(self.cards)} answered. "
            f"Ledger: {events.count('start')} checks started, {events.count('end')} ended, "
            f"{events.count('injected')} faults injected into them."
        )


def _part(name: str, *args: Any, **kwargs: Any) -> str:
    """The HTML of a macro in templates/parts.html, with all values escaped."""
    return str(getattr(TEMPLATES.get_template("parts.html").module, name)(*args, **kwargs))
