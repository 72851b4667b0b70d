// A program of this repository, in Python, that runs beside an agent which is alone.

import { spawn } from "node:child_process";
import { once } from "node:events";

/** Start a module of Python that serves on a free port; it ends with this process. Returns the URL that it prints. */
export async function servedBeside(module: string): Promise<string> {
  const command = ["run", "--quiet", "python", "-m", module, "--until-eof"];
  const cwd = `${import.meta.dirname}/../..`;
  const server = spawn("uv", command, { cwd, stdio: ["pipe", "pipe", "inherit"] }); // it ends when its stdin does
  const [url] = await once(server.stdout, "data");
  server.unref();
  return String(url).trim();
}
