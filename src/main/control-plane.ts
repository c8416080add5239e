import { timingSafeEqual } from "node:crypto";
import { readFileSync } from "node:fs";
import { present } from "../base/assert.ts";
import {
  ControlPlane,
  controlConfigSchema,
  layoutOf,
  parseClusterState,
  statusPage,
  statusSchema,
} from "../cluster/index.ts";
import {
  type HttpReply,
  type HttpRequest,
  openLogger,
  realClock,
  realEntropy,
  serveHttp,
} from "../io/index.ts";
import { dieLoudly, startChild, untilStopped } from "./child.ts";
import { hasParent } from "./clone-origin.ts";
import { requireEndpointPort, requireInstancePlace } from "./instance-place.ts";
import { replaceFile } from "./replace-file.ts";

const { config: raw, stop } = await startChild("borealis control-plane");
const config = controlConfigSchema.parse(raw);
const layout = layoutOf(config.dataDir, config.runtimeDir);
const logger = openLogger({
  file: `${layout.logDir}/control-plane.log`,
  process: "control-plane",
  level: config.logLevel,
  maxBytes: config.logMaxBytes,
});
dieLoudly(logger);
const parsed = parseClusterState(readFileSync(layout.stateFile, "utf8"));
const control = new ControlPlane({
  clock: realClock,
  logger,
  layout,
  config,
  state: present(
    parsed.kind === "state" ? parsed.state : undefined,
    "the supervisor checked the state file",
  ),
  masterPassword: () => readFileSync(layout.passwordFile, "utf8").trim(),
  hasParent: () => hasParent(layout),
  newNodeId: realEntropy.uuid,
  requirePlace: (instance) => requireInstancePlace(instance, { ...config, layout }),
  requirePort: (port, what) => requireEndpointPort(config.host, port, what),
  saveState(state) {
    replaceFile(layout.stateFile, `${JSON.stringify(state, null, 2)}\n`, { isDurable: true });
  },
});

const credentials = readFileSync(layout.credentialsFile, "utf8").trim();
const unauthorized: HttpReply = {
  status: 401,
  type: "text/plain",
  body: `credentials needed: they are in ${layout.credentialsFile}\n`,
  headers: { "www-authenticate": 'Basic realm="Borealis"' },
};

function isAuthorized(header: string | string[] | undefined): boolean {
  const given = typeof header === "string" && header.startsWith("Basic ") ? header.slice(6) : "";
  const wanted = Buffer.from(credentials);
  const got = Buffer.from(given, "base64");
  return got.length === wanted.length && timingSafeEqual(got, wanted);
}

/** Health for load balancers, and the status page for people; all but health needs the credentials. */
async function reply({ method, path, headers }: HttpRequest): Promise<HttpReply> {
  if (method !== "GET" && method !== "HEAD") {
    return { status: 405, type: "text/plain", body: "only GET here\n", headers: { allow: "GET" } };
  }
  if (path === "/health") {
    const health = control.health();
    const body = `${JSON.stringify({ status: health.state, writer: health.writer })}\n`;
    return { status: health.isWritable ? 200 : 503, type: "application/json", body };
  }
  if (!isAuthorized(headers["authorization"])) return unauthorized;
  if (path === "/") {
    const report = statusSchema.parse(await control.status());
    return { status: 200, type: "text/html; charset=utf-8", body: statusPage(report) };
  }
  return { status: 404, type: "text/plain", body: "not found; try / or /health\n" };
}

await control.start();
const http = await serveHttp({ host: config.host, port: config.httpPort }, reply);
logger.info({ event: "control.started", httpPort: http.port });
await untilStopped(stop);
await http.close();
await control.close();
process.exit(0);
