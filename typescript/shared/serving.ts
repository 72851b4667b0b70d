// The name, the guards and the server of every agent: shared/serving.py for Node.

import * as http from "node:http";
import * as http2 from "node:http2";
import * as net from "node:net";
import {
  CancelledError,
  createEndpointHandler,
  type HooksProvider,
  RetryableError,
  type ServiceOptions,
  TerminalError,
} from "@restatedev/restate-sdk";
import { holdFailures } from "./held_steps.ts";
import { drained, modelCalls, modelError, oneLine } from "./model_calls.ts";
import { flush, observers } from "./observers.ts";
import { watch } from "./watchdog.ts";

/** `name`, or `<TOUR_SERVICE_PREFIX>.<name>` where several agents share one Restate. */
export const serviceName = (name: string) => [process.env.TOUR_SERVICE_PREFIX, name].filter(Boolean).join(".");

/** End the invocation with the error that its handler throws; for the `hooks` of a service.
 *
 * A handler works on journal entries, so every replay would repeat its own error. The error becomes a TerminalError
 * (500) that names the cause in one line. Restate retries only failed steps, which the handler never sees, and
 * RetryableError. If a provider refuses a model call, the invocation ends with the provider's status.
 */
export const terminalErrors: HooksProvider = ({ request }) => ({
  interceptor: {
    async handler(next) {
      if (request.body.length === 0) {
        throw new TerminalError("invalid request: body: JSON is required", { errorCode: 400 });
      }
      try {
        await next();
      } catch (error) {
        throw endOf(error);
      }
    },
    async run(_name, next) {
      try {
        await next();
      } catch (error) {
        throw modelError(error);
      }
    },
  },
});

/** The error with which an invocation ends when its handler throws this one. */
export function endOf(error: unknown): Error {
  const chain = [...causes(error)];
  const signal = chain.find((cause) => cause instanceof RetryableError || cause instanceof CancelledError);
  if (signal) return signal;
  const terminal = chain.find((cause) => cause instanceof TerminalError);
  if (!terminal) return new TerminalError(oneLine(String(error)));
  const message = terminal.message.replace("Failed to deserialize input: ", "");
  return new TerminalError(oneLine(message), { errorCode: terminal.code, metadata: terminal.metadata ?? {} });
}

function* causes(error: unknown): Generator<Error> {
  for (let cause = error; cause instanceof Error; cause = cause.cause) yield cause;
}

/** The options of every agent's service. */
export const options: ServiceOptions = { hooks: [holdFailures, terminalErrors, modelCalls, ...observers] };

type Services = Parameters<typeof createEndpointHandler>[0]["services"];

/** Serve on `HOST`:`PORT` (127.0.0.1:9080) over HTTP/2 and HTTP/1.1; exits 1 if the port is taken.
 *
 * Ctrl-C ends the server at once, SIGTERM when no model call is in flight. A frozen process ends itself.
 */
export function serve(...services: Services): void {
  const host = process.env.HOST || "127.0.0.1";
  const port = Number(process.env.PORT || 9080);
  const key = process.env.RESTATE_IDENTITY_KEY;
  const handler = createEndpointHandler({ services, ...(key && { identityKeys: [key] }) });
  const { server, refuse } = listenerOf(handler);
  const taken = (error: unknown) => {
    console.error(
      `Cannot listen on ${host}:${process.env.PORT || port}: ${error instanceof Error ? error.message : error}.\n` +
        `Stop the program that uses the port, or choose another one: PORT=9180 node ${process.argv[1]}`,
    );
    process.exit(1);
  };
  server.on("error", taken);
  const names = services.map(({ name }) => name).join(", ");
  try {
    server.listen(port, host, () => console.error(`${names} on http://${host}:${port}`));
  } catch (error) {
    taken(error); // the port is not a 16-bit number
  }
  watch();
  const end = () => void flush().finally(() => process.exit(0));
  process.once("SIGINT", end);
  process.once("SIGTERM", () => {
    process.once("SIGTERM", end);
    refuse();
    void drained().then(end);
  });
}

type Handler = http.RequestListener &
  ((request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void);

/** Every connection of HTTP/2 begins with these bytes, and no connection of HTTP/1.1 does. */
const PREFACE = "PRI";

/** A server for HTTP/2 and HTTP/1.1, both without TLS: Restate, proxies and probes speak either.
 *
 * After `refuse`, the server takes no new requests; those in flight continue.
 */
function listenerOf(handler: Handler): { server: net.Server; refuse: () => void } {
  const old = http.createServer(handler);
  const current = http2.createServer(handler);
  const sessions = new Set<http2.ServerHttp2Session>();
  current.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });

  function pass(socket: net.Socket): void {
    const first: Buffer | null = socket.read(PREFACE.length);
    if (!first) return void socket.once("readable", () => pass(socket)); // too few bytes have arrived
    socket.unshift(first);
    (first.toString("latin1") === PREFACE ? current : old).emit("connection", socket);
  }
  const server = net.createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => {}); // a reset connection concerns only its own requests
    pass(socket);
  });
  const refuse = () => {
    server.close();
    old.closeIdleConnections();
    for (const session of sessions) session.close();
  };
  return { server, refuse };
}
