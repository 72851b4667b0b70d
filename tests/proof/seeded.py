"""The faults that faults.py puts into a copy of the tree, one at a time, and the tests that must find each."""

from dataclasses import dataclass

EXHAUSTIVE = "tests/proof/test_exhaustive.py::test_every_order_and_every_crash"
HELD, TURNS = "tests/durable/test_held_steps.py", "tests/durable/test_tool_calls.py"
SUITE = "tests/conformance"


@dataclass(frozen=True)
class Fault:
    """A fault: its title, its place, its text, and the tests that must find it."""

    title: str
    file: str
    old: str
    new: str
    tests: str
    """pytest's file, or the id of a test, which then runs each day."""
    only: str = ""
    """pytest's expression for the cases to try, such as those of one framework."""


FAULTS = [
    Fault(
        "a plain gather: no failure is held back",
        "durable/held_steps.py",
        "                    self.steps.end(handle)\n                    await self.steps.finished()",
        "                    self.steps.end(handle)",
        f"{EXHAUSTIVE}[a fan-out of 2, up to 2 failures, terminal ones too]",
    ),
    Fault(
        "a step is in flight when its action runs, not when the SDK has taken it to run",
        "durable/held_steps.py",
        "            self.steps.add(handle)\n        return step",
        "            asyncio.get_running_loop().call_later(0.01, self.steps.add, handle)\n        return step",
        HELD,
        "fails_at_once",
    ),
    Fault(
        "a step that nobody awaits is in flight",
        "durable/held_steps.py",
        "while self._open - self._waiting.keys():",
        "while self._open:",
        HELD,
        "nobody_awaits",
    ),
    Fault(
        "a result is lost: the journal has none",
        "durable/held_steps.py",
        "            return written\n",
        '            return b"null"\n',
        f"{EXHAUSTIVE}[a fan-out of 2, up to 2 failures, terminal ones too]",
    ),
    Fault(
        "a handler's own failure is not held back",
        "durable/held_steps.py",
        "            await steps.finished()\n        raise tellable",
        "            pass\n        raise tellable",
        HELD,
        "handler_raises",
    ),
    Fault(
        "a terminal error waits for the steps in flight",
        "durable/held_steps.py",
        "if not isinstance(raised, TerminalError):",
        "if True:",
        HELD,
        "not_held_back",
    ),
    Fault(
        "an error with half an emoji is sent as it is",
        "durable/held_steps.py",
        "                raise tellable(raised) from",
        "                raise raised from",
        HELD,
        "cannot_be_written and emoji",
    ),
    Fault(
        "two tool calls run at a time",
        "durable/tool_calls.py",
        "if self._running or self._polling or self._over or self._raising:",
        "if self._polling or self._over or self._raising:",
        f"{EXHAUSTIVE}[3 tools of 2 steps]",
    ),
    Fault(
        "a tool call does not pass its turn on while it waits",
        "durable/tool_calls.py",
        "        self._running, self._parked[id] = None, awaited",
        "        await self.ctx.create_poll_or_cancel_coroutine(awaited); return",
        f"{EXHAUSTIVE}[3 tools of 2 steps]",
    ),
    Fault(
        "the turn is given to the first that waits, not to the one whose wait is over",
        "durable/tool_calls.py",
        "FirstCompletedUnresolvedFuture([*self._parked.values()])",
        "[*self._parked.values()][0]",
        f"{EXHAUSTIVE}[3 tools of 2 steps]",
    ),
    Fault(
        "all tool calls that wait go on at the first completion",
        "durable/tool_calls.py",
        "if id in self._parked and self._completed(self._parked[id])]",
        "if id in self._parked]",
        f"{EXHAUSTIVE}[3 tools of 2 steps]",
    ),
    Fault(
        "tool calls begin last one first",
        "durable/tool_calls.py",
        "            first = self._expected[0]",
        "            first = self._expected[0 if self.ctx.vm.is_replaying() else -1]",
        f"{EXHAUSTIVE}[3 tools of 2 steps]",
    ),
    Fault(
        "a terminal error of a tool call does not wait for the others",
        "durable/tool_calls.py",
        "            self._pass_on()\n            await released",
        "            self._pass_on()",
        TURNS,
        "terminal_error_lets",
    ),
    Fault(
        "the limit of tool calls at once is not kept",
        "durable/tool_calls.py",
        "if self._expected and len(self._active) + len(self._ended) < self._limit:",
        "if self._expected:",
        f"{EXHAUSTIVE}[3 tools of 2 steps, 2 tools at once]",
    ),
    Fault(
        "an inner turn's calls take the outer turn's place",
        "durable/tool_calls.py",
        "            await self.ctx.create_poll_or_cancel_coroutine(FirstCompleted",
        "            await HoldingContext.create_poll_or_cancel_coroutine(self.ctx, FirstCompleted",
        f"{EXHAUSTIVE}[2 tools: an agent with 2 tools of 2 steps, 2 steps]",
    ),
    Fault(
        "a tool that raises lets the others go on",
        "durable/tool_calls.py",
        "            self._raising = id\n",
        "            self._pass_on()\n",
        TURNS,
        "tool_raises or any_programs",
    ),
    Fault(
        "a branch that has reported is asked again",
        "durable/branches.py",
        "missing = [name for name in work if name not in results]",
        "missing = list(work)",
        f"{SUITE}/test_specialists.py::test_a_specialist_whose_report_is_none_is_not_asked_again[live-restate_loop]",
    ),
    Fault(
        "a budget allows one call more",
        "durable/budget.py",
        "self.calls_made >= self.calls",
        "self.calls_made > self.calls",
        f"{SUITE}/test_specialists.py::test_the_calls_of_a_claim_do_not_exceed_its_budget[live-restate_loop-6]",
    ),
    Fault(
        "tokens are not counted",
        "durable/held_steps.py",
        "self.steps.budget.tokens_used += sum(usage(json.loads(result)))",
        "pass",
        f"{SUITE}/test_specialists.py::test_the_tokens_of_a_claim_end_it[live-restate_loop]",
    ),
    Fault(
        "plain asyncio.gather over the tool calls of a turn",
        "restate_loop/agent_loop.py",
        "        async with calls.turn(call.id) as ctx:\n            try:",
        "        if ctx := calls.ctx:\n            try:",
        f"{SUITE}/test_parallel_tool_calls.py::test_one_tool_fails[restate_loop-terminal-0-live]",
    ),
    Fault(
        "a model call is no step: a replay has a second answer",
        "restate_loop/agent_loop.py",
        'await ctx.run_typed("call LLM", call_model, DURABLE, messages)',
        "await call_model(messages)",
        f"{SUITE}/test_promise.py",
        "before_and_after",
    ),
    Fault(
        "Google ADK's tool calls go on when one has failed",
        "durable/adapters/google_adk.py",
        "        await ToolCalls.of(id).fail(id, error)",
        "        ToolCalls.of(id).end(id)",
        f"{SUITE}/test_parallel_tool_calls.py::test_one_tool_fails[google_adk-terminal-0-live]",
    ),
    Fault(
        "Pydantic AI's tool calls begin in the order in which they come",
        "durable/adapters/pydantic_ai.py",
        "list(self._valid), limit",
        "list(self._valid)[::-1], limit",
        f"{SUITE}/test_parallel_tool_calls.py::test_fewer_at_a_time[pydantic_ai_agent-1-live]",
    ),
    Fault(
        "the checks of the model's claim, not of the one that was submitted",
        "shared/claims.py",
        "        if not changed:\n            return None",
        "        return None",
        f"{SUITE}/test_model.py::test_the_model_cannot_change_the_claim[live-restate_loop-amount]",
    ),
    Fault(
        "bad input is the server's fault",
        "shared/serving.py",
        "raise restate.TerminalError(message, status_code=400) from error",
        "raise restate.TerminalError(message) from error",
        f"{SUITE}/test_claims.py::test_bad_input_is_the_callers_fault[live-openai_agents-null]",
    ),
    Fault(
        "a provider's refusal is retried",
        "shared/llm.py",
        "            if isinstance(status, int) and 400 <= status < 500 and status not in MAY_PASS:",
        "            if status == 0:",
        f"{SUITE}/test_answers.py::test_a_refusal_of_the_provider_ends_the_claim_after_one_attempt"
        "[openai_agents-a refusal with status 400-live]",
    ),
    Fault(
        "tool calls keep equal ids",
        "durable/answers.py",
        " and id not in taken:",
        ":",
        f"{SUITE}/test_field_reports.py",
        "call_s_own and not missing and not number and live and not typescript and not vercel",
    ),
    Fault(
        "half a decision is taken for one",
        "shared/llm.py",
        "    if problem := answers.no_decision(answer):",
        "    if problem := None:",
        f"{SUITE}/test_field_reports.py",
        "half_a_decision and live and not typescript and not vercel",
    ),
    Fault(
        "the journal has nulls that the server never sent",
        "durable/exact/openai.py",
        'value.to_dict(mode="json", warnings=False)',
        'value.model_dump(mode="json", warnings=False)',
        "tests/plain/test_requests.py",
    ),
    Fault(
        "branches of the same name share their results",
        "durable/branches.py",
        "kept.setdefault(key, {}) if key else {}",
        "kept.setdefault(key, {})",
        TURNS,
        "branches",
    ),
    Fault(
        "the events of a session are not written",
        "google_adk/sessions.py",
        "        return await super().append_event(session, event)",
        "        return event",
        f"{SUITE}/test_sessions.py",
        "live",
    ),
    Fault(
        "a stale session: it is read once, and kept in the process",
        "google_adk/sessions.py",
        "    async def delete_session(self, *, app_name",
        "    async def get_session(self, **about):  # type: ignore\n"
        '        kept, name = self.__dict__.setdefault("kept", {}), str(about)\n'
        "        if name not in kept:\n"
        "            kept[name] = await super().get_session(**about)\n"
        "        return kept[name]\n\n"
        "    async def delete_session(self, *, app_name",
        "tests/sessions/test_sessions_under_kills.py",
        "some_order",
    ),
    Fault(
        "two decisions of a person count",
        "shared/approval.py",
        "    if outcome != said:\n",
        "    if False:\n",
        f"{SUITE}/test_approval.py::test_a_decision_counts_once_and_a_late_one_is_told[live-restate_loop]",
    ),
    Fault(
        "silence pays the claim",
        "shared/approval.py",
        '        outcome = "refused: nobody decided in time"',
        '        outcome = "approved: nobody decided in time"',
        f"{SUITE}/test_approval.py::test_silence_is_a_refusal[live-restate_loop]",
    ),
    Fault(
        "the money of a refused claim stays reserved",
        "shared/approval.py",
        'if not (await _settle(ctx, outcome)).startswith("approved"):',
        "if not await _settle(ctx, outcome):",
        f"{SUITE}/test_approval.py::test_the_decision_is_final_and_its_reason_is_cited"
        "[live-restate_loop-more than 10,000 USD-False]",
    ),
    Fault(
        "a claim that is cancelled leaves its request behind",
        "shared/approval.py",
        "        for key in asked[:1]:",
        "        for key in ():",
        f"{SUITE}/test_approval.py::test_a_claim_is_withdrawn[live-restate_loop]",
    ),
    Fault(
        "TypeScript: no failure is held back",
        "typescript/shared/held_steps.ts",
        "await (error instanceof TerminalError ? allStarted() : finished());",
        "await allStarted();",
        f"{SUITE}/test_promise.py::test_only_the_check_that_fails_is_retried[live-typescript_loop-fraud-1]",
    ),
    Fault(
        "TypeScript: the turn is given to the first that waits, not to the one whose wait is over",
        "typescript/shared/tool_calls.ts",
        "splice(await this.wait(RestatePromise.race(waits)), 1)",
        "splice(0 * (await this.wait(RestatePromise.race(waits))), 1)",
        f"{SUITE}/test_parallel_tool_calls.py::test_out_of_order_completion_is_replayed[vercel_ai-live]",
    ),
]
