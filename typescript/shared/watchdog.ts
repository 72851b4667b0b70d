// A process whose event loop no longer turns ends itself, so that its supervisor starts it again: shared/watchdog.py.
//
// A frozen process keeps its connections and answers nothing, so every claim in it would wait forever.
// This file is also the program of the watching thread.

import { writeSync } from "node:fs";
import inspector from "node:inspector";
import { isMainThread, Worker, workerData } from "node:worker_threads";
import { number } from "./environment.ts";

/** The exit code of a process that was frozen. */
const FROZEN = 70;

/** Checks without a turn of the loop before the process counts as frozen. */
const TICKS = 20;

/** Milliseconds within which a thread that runs JavaScript can be stopped. */
const STOPPING = 2_000;

type Shared = { seconds: number; turns: Int32Array };

/** From now on, the process ends once the event loop of the main thread has not turned for `WATCHDOG` seconds. */
export function watch(): void {
  if (inspector.url()) return; // a debugger stops it on purpose
  const seconds = number("WATCHDOG", 15, false);
  const turns = new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT));
  setInterval(() => Atomics.add(turns, 0, 1), (seconds * 1000) / TICKS).unref();
  new Worker(new URL(import.meta.url), { workerData: { seconds, turns } satisfies Shared }).unref();
}

// This thread counts its ticks, not the time: a process that was stopped (SIGSTOP, a laptop that sleeps) had no ticks.
function watchFromHere({ seconds, turns }: Shared): void {
  let [seen, missed] = [-1, 0];
  const watching = setInterval(
    () => {
      const now = Atomics.load(turns, 0);
      missed = now === seen ? missed + 1 : 0;
      seen = now;
      if (missed < TICKS) return;
      clearInterval(watching);
      endFrozen(seconds);
    },
    (seconds * 1000) / TICKS,
  );
}

function endFrozen(seconds: number): void {
  const what = `The event loop has not turned for ${seconds} s: this process ends with exit code ${FROZEN}`;
  say(`${what}, so that its supervisor restarts it. It was at:`);
  const session = new inspector.Session();
  session.connectToMainThread();
  const urls = new Map<string, string>();
  session.on("Debugger.scriptParsed", ({ params }) => urls.set(params.scriptId, params.url));
  session.once("Debugger.paused", ({ params }) => {
    for (const { functionName, location } of params.callFrames) {
      const at = `${urls.get(location.scriptId)}:${location.lineNumber + 1}:${(location.columnNumber ?? 0) + 1}`;
      say(`    at ${functionName || "<anonymous>"} (${at})`);
    }
    session.post("Runtime.evaluate", { expression: `process.reallyExit(${FROZEN})` });
  });
  session.post("Debugger.enable");
  session.post("Debugger.pause");
  setTimeout(() => {
    say("    at code that is not JavaScript, and cannot be stopped: it is killed, and has no exit code");
    process.kill(process.pid, "SIGKILL");
  }, STOPPING);
}

/** Writes to stderr directly: this thread's `console` asks the main thread to write. */
function say(line: string): void {
  try {
    writeSync(2, `${line}\n`);
  } catch {
    // stderr is closed or full; the process ends anyway
  }
}

if (!isMainThread) watchFromHere(workerData);
