import { isLoopback } from "../base/address.ts";

/** By which names clients reach endpoints that listen at `host`, as tokens have them: in lower case, IPv6 in brackets. */
export function endpointHosts(host: string, others: readonly string[]): string[] {
  const names = new Set<string>();
  const isEverywhere = host === "0.0.0.0" || host === "::";
  if (!isEverywhere) names.add(bracketed(host));
  if (isLoopback(host) || isEverywhere) {
    names.add("localhost");
    names.add(host.includes(":") ? "[::1]" : "127.0.0.1");
  }
  // "::" takes IPv4, too.
  if (host === "::") names.add("127.0.0.1");
  for (const other of others) names.add(bracketed(other));
  return [...names];
}

function bracketed(host: string): string {
  const lower = host.toLowerCase();
  return lower.includes(":") && !lower.startsWith("[") ? `[${lower}]` : lower;
}
