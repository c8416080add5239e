import type { StatusReport } from "../cluster/index.ts";

/** What a client needs to connect, as a URL that psql and every driver takes. */
export function connectionUrl(target: {
  user: string;
  password: string | undefined;
  host: string;
  port: number;
}): string {
  const user = encodeURIComponent(target.user);
  const password = target.password === undefined ? "" : `:${encodeURIComponent(target.password)}`;
  const host = target.host.includes(":") ? `[${target.host}]` : target.host;
  return `postgresql://${user}${password}@${host}:${target.port}/postgres`;
}

/** A host that a client can connect to when the server listens on every address. */
export function reachableHost(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return host === "::" ? "::1" : host;
}

/** The endpoint of that name, if there is one. */
export function findEndpoint(
  report: StatusReport,
  name: string,
): StatusReport["endpoints"][number] | undefined {
  return report.endpoints.find((endpoint) => endpoint.id === name);
}
