// Money set aside for a claim while it is decided: two durable steps, which may run again and count once.

import { TerminalError } from "@restatedev/restate-sdk";
import { servedBeside } from "./beside.ts";

const bank = process.env.FUNDS_URL || (await servedBeside("lab.bank"));

/** `reserved`. Throws: TerminalError when this key has been released: what is undone stays undone. */
export async function reserveFunds(key: string, amount: number): Promise<string> {
  const response = await request("PUT", key, JSON.stringify({ amount }));
  if (response.status === 409) throw new TerminalError(`the funds of ${key} have been released`, { errorCode: 409 });
  return await said(response);
}

/** `released`, whether they were reserved or not: a reservation that is still under way will find itself refused. */
export const releaseFunds = async (key: string) => await said(await request("DELETE", key));

const request = (method: string, key: string, body: string | null = null) =>
  fetch(`${bank}/reservations/${key}`, { method, body, signal: AbortSignal.timeout(10_000) });

async function said(response: Response): Promise<string> {
  if (!response.ok) throw new Error(`the bank answers ${response.status}`);
  return String(await response.json());
}
