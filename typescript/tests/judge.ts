// TypeScript's result for a claim: for the vectors, and for a test in Python that looks for a difference.
//
// node typescript/tests/judge.ts < bodies, one JSON string per line

import * as readline from "node:readline";
import { CHECKS } from "../shared/checks.ts";
import { InsuranceClaim, inputOf } from "../shared/claims.ts";

const input = inputOf(InsuranceClaim);

/** The claim and the results of its checks, or the invalid fields. */
export async function judge(body: string) {
  try {
    const claim = input.deserialize(new TextEncoder().encode(body));
    const checks = await Promise.all(Object.values(CHECKS).map(({ work }) => work(claim)));
    return { claim, checks };
  } catch (error) {
    const problems = (error as Error).message.replace("invalid claim: ", "").split("; ");
    return { refused: [...new Set(problems.map((problem) => problem.split(": ")[0]))].sort() };
  }
}

if (process.argv[1] === import.meta.filename) {
  for await (const line of readline.createInterface({ input: process.stdin })) {
    console.log(JSON.stringify(await judge(JSON.parse(line))));
  }
}
