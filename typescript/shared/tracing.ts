// OpenTelemetry traces: a span of each attempt and of each step, beneath those that Restate exports (docs/tracing.md).
//
// Nothing of OpenTelemetry is imported unless its own variable names a collector. Its packages (28 MB) are for
// development: `npm ci --prefix typescript` installs them, and the tour by itself does not.

import { setTimeout } from "node:timers/promises";
import type { HooksProvider } from "@restatedev/restate-sdk";

const { OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_EXPORTER_OTLP_TRACES_ENDPOINT, OTEL_SERVICE_NAME } = process.env;
const prefix = process.env.TOUR_SERVICE_PREFIX ?? "";

/** Milliseconds between two exports, unless `OTEL_BSP_SCHEDULE_DELAY` is set. A kill loses the spans that wait. */
const DELAY = "500";

/** Milliseconds that spans not yet sent get when the process ends. */
const FLUSH = 1_000;

let send = async () => {};

/** Send the spans that wait, if there is time. */
export const flush = () => Promise.race([send(), setTimeout(FLUSH)]);

/** If the environment names a collector, a hook that makes the spans of this process. */
export async function traced(): Promise<HooksProvider[]> {
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
      tracer: ({ request }) => (tracer ??= exporting(OTEL_SERVICE_NAME || prefix || request.target.service)),
      additionalRunAttributes: (_, name) => ({ "tour.framework": prefix, "tour.step": name }),
    }),
  ];
}

const packages = async () => ({
  ...(await import("@opentelemetry/exporter-trace-otlp-http")),
  ...(await import("@opentelemetry/resources")),
  ...(await import("@opentelemetry/sdk-trace-base")),
  ...(await import("@restatedev/restate-sdk-opentelemetry")),
});

function missing(error: Error): never {
  console.error(
    `OTEL_EXPORTER_OTLP_ENDPOINT is set, but ${error.message.split("\n")[0]}.\n` +
      "Install the packages for tracing with `npm ci --prefix typescript`, or unset the variable.",
  );
  process.exit(1);
}
