// What the AI SDK gets from the journal is what it got from the model: durable/exact/ for Node.

import type { Serde } from "@restatedev/restate-sdk";

/** A model call's result (`doGenerate`) as JSON, which has neither dates nor bytes. The SDK takes bytes in Base64, too. */
// biome-ignore lint/suspicious/noExplicitAny: as Restate's own `serde.json`
export const exact: Serde<any> = {
  contentType: "application/json",
  serialize: (result) => new TextEncoder().encode(JSON.stringify(result, inBase64)),
  deserialize(data) {
    const result = JSON.parse(new TextDecoder().decode(data));
    const { response } = result;
    if (response && "timestamp" in response) response.timestamp = new Date(response.timestamp ?? Number.NaN);
    return result;
  },
};

const inBase64 = (_: string, value: unknown) =>
  value instanceof Uint8Array ? Buffer.from(value).toString("base64") : value;
