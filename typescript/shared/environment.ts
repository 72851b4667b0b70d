// The environment of this process: variables, the proxy and the certificates, and programs that run beside it.
//
// Variables are read as in shared/variables.py. By default, Node ignores the environment's proxy and SSL_CERT_FILE; the
// agents use both, as those in Python do.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFileSync } from "node:fs";
import * as http from "node:http";
import * as tls from "node:tls";

const { env, version } = process;

/** The largest number that a variable may hold; in seconds, thirty years. */
const MOST = 10 ** 9;

/** The number in this variable, or the usual one if it is unset or empty; a fraction only if `whole` is false.
 *
 * Exits with 1, and says why, unless it is greater than 0 and at most `MOST`.
 */
export function number(variable: string, usual: number, whole = true): number {
  const text = env[variable];
  if (!text) return usual;
  const written = whole ? /^[0-9]{1,10}$/ : /^[0-9]{1,10}(\.[0-9]+)?$/;
  const value = written.test(text) ? Number(text) : 0;
  if (value > 0 && value <= MOST) return value;
  return exit(
    `${variable} is '${text}': it must be a ${whole ? "whole " : ""}number greater than 0, and at most ` +
      `${MOST.toLocaleString("en-US")}.\nChange it, or unset it.`,
  );
}

/** The value of this variable, or the first of these if it is unset or empty. Exits with 1 for any other value. */
export function oneOf<Value extends string>(variable: string, values: readonly [Value, ...Value[]]): Value {
  const text = env[variable] || values[0];
  const value = values.find((each) => each === text);
  return value ?? exit(`${variable} is '${text}': it must be ${values.join(" or ")}.\nChange it, or unset it.`);
}

/** The text in this variable, if any, trimmed: a file with Windows newlines leaves a carriage return at its end. */
export const text = (variable: string): string | undefined => env[variable]?.trim() || undefined;

/** The same for a key. If a header cannot hold the key, exits with 1 and does not show it. */
export function secret(variable: string): string | undefined {
  const key = text(variable);
  if (!key || /^[\x21-\x7e]+$/.test(key)) return key;
  return exit(`${variable} has a character that no key has, such as a newline.\nCopy it again, or unset it.`);
}

/** Start a Python module that serves on a free port, and ends with this process. Returns the URL that it prints. */
export async function servedBeside(module: string): Promise<string> {
  const command = ["run", "--quiet", "python", "-m", module, "--until-eof"];
  const cwd = `${import.meta.dirname}/../..`;
  const server = spawn("uv", command, { cwd, stdio: ["pipe", "pipe", "inherit"] }); // the server ends when its stdin does
  const [url] = await once(server.stdout, "data");
  server.unref();
  return String(url).trim();
}

/** From now on, `fetch` uses the environment's proxy except for loopback, and trusts `SSL_CERT_FILE` as well.
 *
 * Prints one line for each thing that this Node cannot do. Exits with 1, and says why, if the file has no certificate.
 */
export function useNetworkOfTheEnvironment(): void {
  useProxy();
  trustCertificates();
}

const LOOPBACK = ["localhost", "127.0.0.1", "::1", "[::1]"];

function useProxy(): void {
  const all = proxyOf("all_proxy");
  const proxies = { http_proxy: proxyOf("http_proxy") ?? all, https_proxy: proxyOf("https_proxy") ?? all };
  const direct = (env.no_proxy || env.NO_PROXY || "").split(",").map((host) => host.trim());
  if ((!proxies.http_proxy && !proxies.https_proxy) || direct.includes("*")) return;
  if ("setGlobalProxyFromEnv" in http) {
    const hosts = [...direct.filter(Boolean).flatMap((host) => [host, `.${host}`]), ...LOOPBACK]; // and their subdomains
    http.setGlobalProxyFromEnv({ ...proxies, no_proxy: hosts.join(",") });
  } else if (!env.NODE_USE_ENV_PROXY) {
    console.error(`Node ${version} uses no proxy: set NODE_USE_ENV_PROXY=1 (Node 22.21), or take Node 24.14 or newer.`);
  }
}

/** The address of the proxy in a variable, whose name is in lower or upper case. */
function proxyOf(variable: string): string | undefined {
  const address = env[variable] || env[variable.toUpperCase()];
  if (!address) return undefined;
  const url = address.includes("://") ? address : `http://${address}`;
  if (/^https?:/i.test(url)) return url;
  const scheme = url.slice(0, url.indexOf(":"));
  console.error(
    `${variable} has the scheme ${scheme}, which Node cannot use: requests go without it. Use http or https.`,
  );
  return undefined;
}

const CERTIFICATES = /-----BEGIN CERTIFICATE-----[\s\S]+?-----END CERTIFICATE-----/g;

function trustCertificates(): void {
  const file = env.SSL_CERT_FILE;
  if (!file || file === env.NODE_EXTRA_CA_CERTS) return;
  if ("setDefaultCACertificates" in tls) {
    const more = certificatesIn(file);
    tls.setDefaultCACertificates([...tls.getCACertificates(), ...more]);
  } else {
    console.error(`Node ${version} does not use SSL_CERT_FILE: name the same file in NODE_EXTRA_CA_CERTS.`);
  }
}

function certificatesIn(file: string): string[] {
  let found: string[] | null;
  try {
    found = readFileSync(file, "utf8").match(CERTIFICATES);
  } catch (error) {
    return exit(`SSL_CERT_FILE cannot be read: ${(error as Error).message}.\nChange it, or unset it.`);
  }
  return found ?? exit(`SSL_CERT_FILE is '${file}', which has no certificate.\nChange it, or unset it.`);
}

function exit(why: string): never {
  console.error(why);
  process.exit(1);
}
