// The observers of steps, as hooks of a service: the lab, and OpenTelemetry traces. Agents know neither.

import { setTimeout } from "node:timers/promises";
import { type HooksProvider, TerminalError } from "@restatedev/restate-sdk";

const { OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_SERVICE_NAME, TOUR_LAB } = process.env;
const framework = process.env.TOUR_SERVICE_PREFIX ?? "";

/** Milliseconds between two exports of spans, unless `OTEL_BSP_SCHEDULE_DELAY` is set. A kill loses waiting spans. */
const DELAY = "500";

/** Milliseconds that spans not yet sent get when the process ends. */
const FLUSH = 1_000;

type Kind = "delay" | "fail" | "terminal" | "crash-before" | "crash-after" | "freeze";
type Fault = { id: number; kind: Kind; value: number; detail: string };

/** The lab knows a step by the first word of its name. The offline model watches the model calls. */
const STEP = /^(?!call)\S+/;

let send = async () => {};

/** Send the spans that wait, if there is time. */
export const flush = () => Promise.race([send(), setTimeout(FLUSH)]);

/** The hooks of all observers that the environment asks for: `TOUR_LAB`, and OpenTelemetry's own variables. */
export const observers: HooksProvider[] = [...(await traced()), ...observed()];

/** A hook that makes a span for each attempt and each step, beneath those that Restate exports (docs/tracing.md).
 *
 * It imports OpenTelemetry only if a variable of OpenTelemetry names a collector. The packages (28 MB) are for
 * development: `npm ci --prefix typescript` installs them; the tour itself does not.
 */
async function traced(): Promise<HooksProvider[]> {
  if (!OTEL_EXPORTER_OTLP_ENDPOINT && !OTEL_EXPORTER_OTLP_TRACES_ENDPOINT) return [];
  process.env.OTEL_BSP_SCHEDULE_DELAY ||= DELAY;
  const { openTelemetryHook, OTLPTraceExporter, resourceFromAttributes, BasicTracerProvider, BatchSpanProcessor } =
    await packages().catch(missing);
  const exporting = (service: string) => {
    const resource = resourceFromAttributes({ "service.name": service });
    const provider = new BasicTracerProvider({
      resource,
      spanProcessors: [new BatchSpanProcessor(new OTLPTraceExporter())],
    });
    send = () => provider.forceFlush();
    return provider.getTracer("tour-of-agents");
  };
  let tracer: ReturnType<typeof exporting> | undefined;
  return [
    openTelemetryHook({
      tracer: ({ request }) => (tracer ??= exporting(OTEL_SERVICE_NAME || framework || request.target.service)),
      additionalRunAttributes: (_, name) => ({ "tour.framework": framework, "tour.step": name }),
    }),
  ];
}

async function packages() {
  return {
    ...(await import("@opentelemetry/exporter-trace-otlp-http")),
    ...(await import("@opentelemetry/resources")),
    ...(await import("@opentelemetry/sdk-trace-base")),
    ...(await import("@restatedev/restate-sdk-opentelemetry")),
  };
}

function missing(error: Error): never {
  console.error(
    `OTEL_EXPORTER_OTLP_ENDPOINT is set, but ${error.message.split("\n")[0]}.\n` +
      "Install the packages for tracing with `npm ci --prefix typescript`, or unset the variable.",
  );
  process.exit(1);
}

/** A hook that records each run of a step in the lab, and obeys the faults that the lab plans for it. */
function observed(): HooksProvider[] {
  if (!TOUR_LAB) return [];
  const lab = open(TOUR_LAB);
  const hook: HooksProvider = ({ request }) => {
    const about = new TextDecoder().decode(request.body);
    const over = request.attemptCompletedSignal;
    const run = async (name: string, next: () => Promise<void>) => {
      const step = STEP.exec(name)?.[0];
      if (!step) return next();
      lab.record(request.id, step, "start");
      try {
        const before = lab.take(request.id, step, about, ["delay", "fail", "terminal", "crash-before", "freeze"]);
        for (const fault of before) await obey(step, fault, over);
        await next();
        for (const fault of lab.take(request.id, step, about, ["crash-after"])) await obey(step, fault, over);
      } catch (error) {
        const how = over.aborted ? "cancelled" : error instanceof TerminalError ? "terminal" : "failed";
        lab.record(request.id, step, "end", how);
        throw error;
      }
      lab.record(request.id, step, "end", "ok");
    };
    return { interceptor: { run } };
  };
  return [hook];
}

/** The SQLite file of lab/ledger.py. */
function open(path: string) {
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite"); // an import prints a warning in Node 22
  const db = new DatabaseSync(path, { timeout: 30_000 });
  db.exec("PRAGMA synchronous = OFF");
  const insert = db.prepare(
    "INSERT INTO ledger (at, pid, framework, invocation, step, event, detail, fault) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
  );
  const due = db.prepare(
    `SELECT id, kind, value, detail FROM fault WHERE step = ? AND coalesce(framework, ?) = ?
     AND (about IS NULL OR instr(?, about)) AND turn IS NULL AND kind IN (SELECT value FROM json_each(?))
     AND (kind = 'delay' OR times > (SELECT count(*) FROM ledger WHERE fault = fault.id AND invocation = ?)) ORDER BY id`,
  );
  const now = () => (performance.timeOrigin + performance.now()) / 1000; // two entries may be in one millisecond
  const record = (invocation: string, step: string, event: string, detail = "", fault: number | null = null) =>
    insert.run(now(), process.pid, framework, invocation, step, event, detail, fault);

  function take(invocation: string, step: string, about: string, kinds: Kind[]): Fault[] {
    db.exec("BEGIN IMMEDIATE");
    try {
      const faults = due.all(step, framework, framework, about, JSON.stringify(kinds), invocation) as Fault[];
      const delays = faults.filter(({ kind }) => kind === "delay");
      const other = faults.find(({ kind }) => kind !== "delay"); // one at a time, so that the effect of each shows
      if (!other) return delays;
      record(invocation, step, "injected", other.kind, other.id);
      return [...delays, other];
    } finally {
      db.exec("COMMIT");
    }
  }
  return { record, take };
}

async function obey(step: string, fault: Fault, signal: AbortSignal): Promise<void> {
  const message = fault.detail || `${step}: planned by the lab`;
  if (fault.kind === "delay") await setTimeout(fault.value * 1000, undefined, { signal });
  else if (fault.kind === "fail") throw new Error(message);
  else if (fault.kind === "terminal") throw new TerminalError(message, { errorCode: fault.value || 500 });
  else if (fault.kind === "freeze") for (;;);
  else process.kill(process.pid, "SIGKILL");
}
