// The rules of answers.ts for an answer that is a stream of server-sent events: durable/answer_streams.py for Node.

import { CALLS, type Fields, fields, joinParts, letCallsRun, mendCalls, noDecision, objects } from "./answers.ts";

/** The stream is not an answer, or not a whole one. Asking again may help. */
export class BadStream extends Error {}

/** The answer is not a decision: it is cut off, or it is a refusal. */
export class Undecided extends Error {}

/** An event says that the server has failed: the HTTP status of such an error, and the JSON of its body. */
export class ErrorEvent extends Error {
  readonly status: number;
  readonly body: unknown;

  constructor(error: unknown) {
    super(JSON.stringify(error));
    this.status = statusOf(error);
    this.body = { error };
  }
}

/** The end of a line, then an empty line. */
const END = /\n\n|\n\r\n?|\r\r\n?/;

/** A filter for the bytes of one stream, of OpenAI Chat or OpenAI Responses.
 *
 * An event passes as soon as it is complete. If a piece of text ends in half a surrogate pair, that half waits for the
 * next piece. Throws: BadStream, Undecided, ErrorEvent.
 */
export class AnswerStream {
  #rest = "";
  readonly #decoder = new TextDecoder();
  readonly #encoder = new TextEncoder();
  readonly #halves = new Halves();
  readonly #wires = [new Chat(this.#halves), new Responses(this.#halves)];

  /** The events that these bytes complete; without bytes, the rest, when the server has sent everything. */
  *feed(bytes?: Uint8Array): Generator<Uint8Array> {
    this.#rest += this.#decoder.decode(bytes, { stream: bytes !== undefined });
    for (let end = END.exec(this.#rest); end; end = END.exec(this.#rest)) {
      const next = end.index + end[0].length;
      yield this.#encoder.encode(this.#passed(this.#rest.slice(0, next)));
      this.#rest = this.#rest.slice(next);
    }
    if (bytes) return;
    if (this.#rest) yield this.#encoder.encode(this.#passed(this.#rest));
    this.#assertEnded();
  }

  #passed(event: string): string {
    const lines = event.split(/\r\n|\n|\r/);
    const data = lines
      .filter((line) => line.startsWith("data:"))
      .map((line) => line.slice(5))
      .join("\n")
      .trim();
    if (data === "[DONE]") this.#assertEnded();
    if (!data || data === "[DONE]") return event;
    let parsed: unknown;
    try {
      parsed = JSON.parse(data);
    } catch (error) {
      throw new BadStream(`an event is not JSON (${(error as Error).message}): ${data}`);
    }
    const said = fields(parsed);
    if (said !== parsed) return event;
    const error = errorOf(said, lines.includes("event: error"));
    if (error) throw new ErrorEvent(error);
    for (const wire of this.#wires) wire.mend(said);
    for (const wire of this.#wires) {
      const problem = wire.ended && noDecision(wire.ended);
      if (problem) throw new Undecided(problem.toWellFormed());
    }
    const others = lines.filter((line) => line && !line.startsWith("data:"));
    const left = this.#halves.left.splice(0).map((piece) => `data: ${wellFormed(piece)}\n\n`);
    return [...left, ...others.map((line) => `${line}\n`), `data: ${wellFormed(said)}\n\n`].join("");
  }

  #assertEnded() {
    if (!this.#wires.some((wire) => wire.ended)) throw new BadStream("it ends in the middle");
  }
}

const wellFormed = (event: unknown) =>
  JSON.stringify(event, (_, value) => (typeof value === "string" ? value.toWellFormed() : value));

/** The error in an event, if there is one. */
function errorOf(event: Fields, isNamedError: boolean): unknown {
  if (event.type === "response.failed") return fields(event.response).error || event;
  return event.error || (isNamedError || event.type === "error" ? event : undefined);
}

/** The HTTP statuses of errors that have only a name. Others have 400 if the name begins with `invalid_`, else 500. */
const STATUSES = new Map([
  ["authentication_error", 401],
  ["permission_error", 403],
  ["not_found_error", 404],
  ["model_not_found", 404],
  ["context_length_exceeded", 400],
  ["content_filter", 400],
  ["rate_limit_exceeded", 429],
  ["rate_limit_error", 429],
  ["insufficient_quota", 429],
  ["billing_hard_limit_reached", 429],
  ["billing_not_active", 429],
]);

function statusOf(error: unknown): number {
  const { code, status, type } = fields(error);
  const names = [code, status, type].map(String);
  const number = names.find((name) => /^[45]\d\d$/.test(name));
  if (number) return Number(number);
  return names.map((name) => STATUSES.get(name) ?? (name.startsWith("invalid_") ? 400 : 0)).find(Boolean) ?? 500;
}

/** First halves of surrogate pairs, each held back until the next piece of the same text arrives. */
class Halves {
  readonly #held = new Map<string, { half: string; alone: (half: string) => Fields }>();
  /** Events with the halves left by texts that have ended. */
  readonly left: Fields[] = [];

  /** Prepend the held half to this piece, and hold the half at its end; `alone` makes an event of one piece. */
  join(text: string, holder: Fields, key: string, alone: (piece: string) => Fields): void {
    const piece = holder[key];
    if (typeof piece !== "string" || !piece) return;
    let joined = (this.#held.get(text)?.half ?? "") + piece;
    this.#held.delete(text);
    if (/[\ud800-\udbff]$/.test(joined)) {
      this.#held.set(text, { half: joined.slice(-1), alone });
      joined = joined.slice(0, -1);
    }
    holder[key] = joined;
  }

  /** Note that the texts have ended. */
  over(): void {
    for (const { half, alone } of this.#held.values()) this.left.push(alone(half));
    this.#held.clear();
  }
}

class Chat {
  /** The whole answer, as far as `noDecision` looks at it; undefined before its end. */
  ended: Fields | undefined;
  readonly #halves: Halves;
  readonly #choices = new Map<unknown, { content: string; refusal: string; tool_calls: Fields[] }>();

  constructor(halves: Halves) {
    this.#halves = halves;
  }

  mend(event: Fields): void {
    for (const choice of objects(event.choices)) {
      const [index, delta] = [choice.index ?? 0, fields(choice.delta)];
      const message = this.#choices.get(index) ?? { content: "", refusal: "", tool_calls: [] };
      this.#choices.set(index, message);
      const piece = (delta: Fields) => ({ ...event, choices: [{ index, delta, finish_reason: null }], usage: null });
      joinParts({ choices: [{ message: delta }] });
      for (const key of Object.keys(delta)) {
        this.#halves.join(`${index} ${key}`, delta, key, (half) => piece({ [key]: half }));
      }
      for (const [position, call] of objects(delta.tool_calls).entries()) {
        const at = call.index ?? position;
        mendPiece(at, call, message.tool_calls);
        const alone = (half: string) => piece({ tool_calls: [{ index: at, function: { arguments: half } }] });
        this.#halves.join(`${index} call ${at}`, fields(call.function), "arguments", alone);
      }
      if (typeof delta.content === "string") message.content += delta.content;
      if (typeof delta.refusal === "string") message.refusal += delta.refusal;
      if (!choice.finish_reason) continue;
      this.#halves.over();
      const whole = { message, finish_reason: choice.finish_reason };
      if (index === 0) this.ended = { choices: [whole] };
      const run = { choices: [{ ...whole }] };
      letCallsRun(run);
      choice.finish_reason = run.choices[0]?.finish_reason;
    }
  }
}

/** Give the first piece of a call an id; `known` are the earlier calls. */
function mendPiece(at: unknown, call: Fields, known: Fields[]): void {
  const first = known.find(({ index }) => index === at);
  if (first) {
    if (call.id !== first.id) delete call.id;
    return;
  }
  mendCalls({ choices: [{ message: { tool_calls: [...known, call] } }] });
  known.push({ index: at, id: call.id });
}

const ENDS: unknown[] = ["response.completed", "response.incomplete"];

class Responses {
  /** The whole answer; undefined before its end. */
  ended: Fields | undefined;
  readonly #halves: Halves;
  readonly #calls: { at: unknown; given: string; id: unknown }[] = [];

  constructor(halves: Halves) {
    this.#halves = halves;
  }

  mend(event: Fields): void {
    const { type, item_id, output_index, content_index, summary_index } = event;
    if (typeof type !== "string" || !type.startsWith("response.")) return;
    const response = fields(event.response);
    this.#mendCall(output_index, fields(event.item));
    const met: unknown[] = [];
    for (const [at, item] of objects(response.output).entries()) this.#mendCall(at, item, met);
    if (type.endsWith(".delta")) {
      const text = JSON.stringify([type, item_id, output_index, content_index, summary_index]);
      this.#halves.join(text, event, "delta", (delta) => ({ ...event, delta }));
    }
    if (type.endsWith(".done") || ENDS.includes(type)) this.#halves.over();
    if (!ENDS.includes(type)) return;
    if (!response.output) throw new BadStream(`its last event has no output: ${JSON.stringify(event)}`);
    this.ended = response;
    letCallsRun(response);
  }

  /** Give a call the same id in all events. `met` has the ids so far in a whole response.
   *
   * Some servers number the items of a stream differently from those of the response at its end.
   */
  #mendCall(at: unknown, item: Fields, met?: unknown[]): void {
    if (!CALLS.includes(item.type)) return;
    const given = JSON.stringify(item.call_id) ?? "";
    const same = this.#calls.filter((call) => call.given === given);
    const own = [...same.filter((call) => call.at === at), ...(met ? same : [])].find(({ id }) => !met?.includes(id));
    if (own) {
      item.call_id = own.id;
      mendCalls({ output: [item] });
    } else {
      const others = this.#calls.map(({ id }) => ({ type: "function_call", call_id: id }));
      mendCalls({ output: [...others, item] });
      this.#calls.push({ at, given, id: item.call_id });
    }
    met?.push(item.call_id);
  }
}
