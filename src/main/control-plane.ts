import { timingSafeEqual } from "node:crypto";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { present } from "../base/assert.ts";
import { expositionType } from "../base/exposition.ts";
import { messageOf } from "../base/errors.ts";
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
  type HttpServer,
  openLogger,
  realClock,
  realEntropy,
  serveHttp,
  sleep,
} from "../io/index.ts";
import { dieLoudly, startChild, untilStopped } from "./child.ts";
import { hasParent } from "./clone-origin.ts";
import { isErrno } from "./errno.ts";
import { requireEndpointPort, requireInstancePlace } from "./instance-place.ts";
import { replaceFile } from "./replace-file.ts";
import { readSecret } from "./secret-file.ts";

const openAgainMs = 500;

const { config: raw, stop, serve } = await startChild("borealis control-plane");
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
  masterPassword: () => readSecret(layout.passwordFile),
  eventFile: {
    read: () => (existsSync(layout.eventsFile) ? readFileSync(layout.eventsFile, "utf8") : ""),
    append: (text) => appendFileSync(layout.eventsFile, text, { mode: 0o600 }),
    replace: (text) => replaceFile(layout.eventsFile, text, { isDurable: false }),
  },
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
  if (path === "/metrics")
    return { status: 200, type: expositionType, body: await control.metrics.text() };
  return { status: 404, type: "text/plain", body: "not found; try /, /health or /metrics\n" };
}

/** Somebody may have taken its port meanwhile: the cluster can do without for a while. Undefined: it is to stop. */
async function openStatusPage(): Promise<HttpServer | undefined> {
  const { host, httpPort: port } = config;
  let told = "";
  while (!stop.aborted) {
    try {
      const http = await serveHttp({ host, port }, reply);
      control.noteStatusPage("open");
      return http;
    } catch (error) {
      const why = messageOf(error);
      if (why !== told) logger.warn({ event: "statusPage.notOpened", port }, why);
      told = why;
      const isTaken = isErrno(error, "EADDRINUSE");
      control.noteStatusPage({ id: "status page", port, isTaken, why });
      await sleep(realClock, openAgainMs, stop);
    }
  }
  return undefined;
}

await control.start();
const opening = openStatusPage();
serve({});
logger.info({ event: "control.started", httpPort: config.httpPort });
await untilStopped(stop);
const http = await opening;
await http?.close();
await control.close();
process.exit(0);
