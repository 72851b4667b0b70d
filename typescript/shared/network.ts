// The proxy and the certificates that this process uses, which are those of the Python agents: Node by itself ignores
// the proxy that the environment names, and the file SSL_CERT_FILE.

import { readFileSync } from "node:fs";
import * as http from "node:http";
import * as tls from "node:tls";

const { env, version } = process;

/** From now on, `fetch` goes through the proxy of the environment, but to loopback; `SSL_CERT_FILE` is trusted, too.
 *
 * Says in one line what this Node cannot do. Exits with 1, and says why, where the file has no certificate.
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
    const hosts = [...direct.filter(Boolean).flatMap((host) => [host, `.${host}`]), ...LOOPBACK]; // and those beneath
    http.setGlobalProxyFromEnv({ ...proxies, no_proxy: hosts.join(",") });
  } else if (!env.NODE_USE_ENV_PROXY) {
    console.error(`Node ${version} uses no proxy: set NODE_USE_ENV_PROXY=1 (Node 22.21), or take Node 24.14 or newer.`);
  }
}

/** The address of the proxy that a variable names, in small letters or in capitals. */
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
  try {
    const found = readFileSync(file, "utf8").match(CERTIFICATES);
    if (found) return found;
    console.error(`SSL_CERT_FILE is '${file}', which has no certificate.\nChange it, or unset it.`);
  } catch (error) {
    console.error(`SSL_CERT_FILE cannot be read: ${(error as Error).message}.\nChange it, or unset it.`);
  }
  process.exit(1);
}
