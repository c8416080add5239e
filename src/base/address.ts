import { BorealisError, sqlState } from "./errors.ts";

/** Where a process listens. `tls`: TCP between processes of one cluster, mutually authenticated (cluster-tls.ts). */
export type Address =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number }
  | { readonly kind: "tls"; readonly host: string; readonly port: number };

/** Where anybody who can reach it may knock. */
export type PlainAddress = Exclude<Address, { readonly kind: "tls" }>;

const tlsScheme = "tls://";

/** A unix socket is written as its path, mutual TLS as tls://HOST:PORT. */
export function formatAddress(address: Address): string {
  if (address.kind === "unix") return address.path;
  const host = address.host.includes(":") ? `[${address.host}]` : address.host;
  return `${address.kind === "tls" ? tlsScheme : ""}${host}:${address.port}`;
}

/** Whether who listens at this host is reached from this machine only. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || /^127(?:\.\d{1,3}){3}$/.test(host);
}

/** An address between processes of a cluster, from its text. Raises BorealisError 22023. */
export function parseAddress(text: string): Address {
  if (text.startsWith("/")) return { kind: "unix", path: text };
  const [, bracketed, plain, digits = ""] =
    /^tls:\/\/(?:\[([0-9a-fA-F:.]+)\]|([^:[\]/]+)):(\d{1,5})$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits);
  if (host !== undefined && port >= 1 && port <= 65_535) return { kind: "tls", host, port };
  throw new BorealisError(sqlState.invalidParameter, `"${text}" is no address`, {
    hint: "a process of a cluster is at /PATH (a unix socket) or at tls://HOST:PORT",
  });
}
