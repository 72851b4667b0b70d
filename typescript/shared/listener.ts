// One port for HTTP/2 and HTTP/1.1, both without TLS: Restate speaks either, and so do proxies and probes.

import * as http from "node:http";
import * as http2 from "node:http2";
import * as net from "node:net";

type Handler = http.RequestListener &
  ((request: http2.Http2ServerRequest, response: http2.Http2ServerResponse) => void);

/** How every connection of HTTP/2 begins, and none of HTTP/1.1. */
const PREFACE = "PRI";

/** A server that is yet to listen, and a function after which it takes no new request, while those in flight go on. */
export function listenerOf(handler: Handler): { server: net.Server; refuse: () => void } {
  const old = http.createServer(handler);
  const current = http2.createServer(handler);
  const sessions = new Set<http2.ServerHttp2Session>();
  current.on("session", (session) => {
    sessions.add(session);
    session.once("close", () => sessions.delete(session));
  });

  function pass(socket: net.Socket): void {
    const first: Buffer | null = socket.read(PREFACE.length);
    if (!first) return void socket.once("readable", () => pass(socket)); // fewer bytes have come, or none
    socket.unshift(first);
    (first.toString("latin1") === PREFACE ? current : old).emit("connection", socket);
  }
  const server = net.createServer({ noDelay: true }, (socket) => {
    socket.on("error", () => {}); // a connection that is reset concerns nobody but its requests
    pass(socket);
  });
  const refuse = () => {
    server.close();
    old.closeIdleConnections();
    for (const session of sessions) session.close();
  };
  return { server, refuse };
}
