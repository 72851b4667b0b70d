// The lab of lab/ledger.py for Node: the same SQLite file, as a hook around the steps. The agents know nothing of it.

import { setTimeout } from "node:timers/promises";
import { type HooksProvider, TerminalError } from "@restatedev/restate-sdk";

type Kind = "delay" | "fail" | "terminal" | "crash-before" | "crash-after" | "freeze";
type Fault = { id: number; kind: Kind; value: number; detail: string };

/** A step's name in the lab is its first word. The calls of a model are watched by the offline model. */
const STEP = /^(?!call)\S+/;
const framework = process.env.TOUR_SERVICE_PREFIX ?? "";

function open(path: string) {
  const { DatabaseSync } = process.getBuiltinModule("node:sqlite"); // to import it prints a warning, in Node 22
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
      const other = faults.find(({ kind }) => kind !== "delay"); // one at a time, so that each is seen to work
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

/** With `TOUR_LAB` set, a hook that records each run of a step, and obeys the faults that are planned for it. */
export function observed(): HooksProvider[] {
  if (!process.env.TOUR_LAB) return [];
  const lab = open(process.env.TOUR_LAB);
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
