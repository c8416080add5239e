import { type ClusterState, customPort, instancePort, portOffsets } from "../cluster/index.ts";
import { newInstances } from "./create.ts";
import type { UpOptions } from "./options.ts";
import type { WantedPort } from "./ports-check.ts";

/** The ports that a cluster listens at; one that is not there yet will have as many instances as the options say. */
export function wantedPorts(options: UpOptions, known: ClusterState | undefined): WantedPort[] {
  const { port } = options;
  const instances = known?.instances ?? newInstances(options.readers);
  const rows: WantedPort[] = [
    { port: port + portOffsets.writer, what: "the writer endpoint", option: "--port" },
    { port: port + portOffsets.reader, what: "the reader endpoint", option: "--port" },
  ];
  for (const { id, ordinal } of instances) {
    const what = `the endpoint of ${id}`;
    rows.push({ port: instancePort(port, ordinal), what, option: "--port" });
  }
  for (const { id, ordinal } of known?.endpoints ?? []) {
    rows.push({ port: customPort(port, ordinal), what: `the endpoint ${id}`, option: "--port" });
  }
  const http = options.httpPort ?? port + portOffsets.http;
  rows.push({ port: http, what: "the status page", option: "--http-port" });
  return rows;
}
