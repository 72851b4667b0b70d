// The HTTP interface of the agents without Restate: bench/serving.py for Node.

import { createServer } from "node:http";
import { text } from "node:stream/consumers";
import { InsuranceClaim } from "../shared/claims.ts";

/** Whether an agent without Restate streams its model calls: it measures the cost of streaming alone. */
export const STREAMS = Boolean(process.env.PLAIN_STREAMS);

/** Serve `POST /run/{id}` and `GET /health` on `HOST`:`PORT` until SIGTERM. Each id is a new claim. */
export function servePlain(run: (claim: InsuranceClaim) => Promise<string>): void {
  const host = process.env.HOST || "127.0.0.1";
  const port = Number(process.env.PORT || 9080);
  const server = createServer(async (request, response) => {
    try {
      const body = await text(request);
      const said = request.method === "POST" ? await run(InsuranceClaim.parse(JSON.parse(body))) : "ok";
      response.end(JSON.stringify(said));
    } catch (error) {
      response.statusCode = 500;
      response.end(JSON.stringify({ message: String(error) }));
    }
  });
  server.listen(port, host, () => console.error(`the agent without Restate on http://${host}:${port}`));
  process.once("SIGTERM", () => process.exit(0));
}
