import { readFileSync } from "node:fs";
import type { Layout, StatusReport } from "../cluster/index.ts";
import type { UpOptions } from "./options.ts";
import { borealisVersion } from "./paths.ts";
import { bold, print } from "./print.ts";
import { connectionUrl, reachableHost } from "./urls.ts";

export interface Banner {
  readonly report: StatusReport;
  readonly layout: Layout;
  readonly options: UpOptions;
  readonly password: string | undefined;
  /** gate.mode */
  readonly gate: string;
}

/** One URL per endpoint, and the status page's: what a newcomer copies. */
export function printBanner({ report, layout, options, password, gate }: Banner): void {
  const { cluster } = report;
  print();
  print(
    `  ${bold(`Borealis ${borealisVersion()}`)} on PostgreSQL ${cluster.engineVersion}: ` +
      `${report.storage.length} storage nodes in 3 zones, every commit on 4 of them`,
  );
  print();
  const user = readUser(layout);
  const width = Math.max(12, ...report.endpoints.map(({ id }) => id.length));
  for (const endpoint of report.endpoints) {
    const host = reachableHost(endpoint.host);
    const role = endpoint.type === "instance" ? `  (${roleOf(report, endpoint.id)})` : "";
    print(
      `  ${endpoint.id.padEnd(width)} ${connectionUrl({ user, password, host, port: endpoint.port })}${role}`,
    );
  }
  const writer = report.endpoints.find(({ type }) => type === "writer");
  if (writer?.loopback)
    print(
      `  ${"AWS wrappers".padEnd(width)} ${connectionUrl({ user, password, host: writer.loopback, port: writer.port })}  (docs/wrappers.md)`,
    );
  const httpPort = options.httpPort ?? options.port + 3000;
  const [key, secret] = readFileSync(layout.credentialsFile, "utf8").trim().split(":");
  print(
    `  ${"status page".padEnd(width)} http://${key}:${secret}@${reachableHost(options.host)}:${httpPort}/`,
  );
  if (gate === "off")
    print(
      `  ${"gate.mode".padEnd(width)} off: a writer that was replaced unawares may show stale reads`,
    );
  print();
}

function roleOf(report: StatusReport, id: string): string {
  return report.instances.find((instance) => instance.id === id)?.role ?? "reader";
}

function readUser(layout: Layout): string {
  const value: unknown = JSON.parse(readFileSync(layout.stateFile, "utf8"));
  const hasUser = typeof value === "object" && value !== null && "masterUser" in value;
  return hasUser ? String(value.masterUser) : "postgres";
}
