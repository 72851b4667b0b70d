"""Restate's tracer, corrected in three cases; imported only when tracing is on.

`RestateTracer` makes each span a child of Restate's span of the attempt, and makes none on a replay. Three
corrections:

* A context variable tells the tracer whether this is a replay. A task that awaits a tool in another task does not see
  the end of the replay there, so the next model call would have no span.
* Outside a handler the tracer raises an error, which a library that makes spans in the background does not expect.
* A Restate that exports no spans sends no parent, so each span would be a separate trace.
"""

import hashlib
from typing import Any

from opentelemetry.context import Context
from opentelemetry.trace import (
    NonRecordingSpan,
    Span,
    SpanContext,
    TraceFlags,
    Tracer,
    TracerProvider,
    set_span_in_context,
)
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from restate.ext.tracing import RestateTracer, RestateTracerProvider
from restate.server_context import ServerInvocationContext, current_context, update_restate_context_is_replaying

from lab.observed import handler_context


def parent(request: Any) -> Context:
    """The parent of an invocation's spans, from its request: Restate's span of the attempt.

    Else the caller's span; else a span that does not exist, with ids derived from the invocation's.
    """
    for headers in (request.attempt_headers, request.headers):
        if "traceparent" in headers:
            return TraceContextTextMapPropagator().extract(headers, Context())
    digest = hashlib.sha256(request.id.encode()).digest()
    ids = int.from_bytes(digest[:16], "big"), int.from_bytes(digest[16:24], "big")
    span = NonRecordingSpan(SpanContext(*ids, is_remote=True, trace_flags=TraceFlags(TraceFlags.SAMPLED)))
    return set_span_in_context(span, Context())


class InvocationTracerProvider(RestateTracerProvider):
    """Its tracers make spans of the current invocation, or plain spans outside an invocation."""

    def __init__(self, provider: TracerProvider) -> None:
        super().__init__(provider)  # type: ignore[no-untyped-call]

    def get_tracer(self, *args: Any, **kwargs: Any) -> Tracer:
        return _InvocationTracer(self._provider.get_tracer(*args, **kwargs))


class _InvocationTracer(RestateTracer):
    def __init__(self, plain: Tracer) -> None:
        super().__init__(plain)  # type: ignore[no-untyped-call]

    @staticmethod
    def _get_root_context() -> Context:
        context = current_context()
        assert context
        return parent(context.request())

    def start_span(self, *args: Any, **kwargs: Any) -> Span:
        return super().start_span(*args, **kwargs) if _in_handler() else self._tracer.start_span(*args, **kwargs)

    def start_as_current_span(self, *args: Any, **kwargs: Any) -> Any:
        start = super().start_as_current_span if _in_handler() else self._tracer.start_as_current_span
        return start(*args, **kwargs)


def _in_handler() -> bool:
    """Whether this is part of an invocation. If so, this updates the context variable that marks a replay."""
    context = handler_context()
    if not isinstance(context, ServerInvocationContext):
        return False
    update_restate_context_is_replaying(context.vm)
    return True
