import { AdminData } from "../api/index.ts";
import { AuditLog } from "../audit/index.ts";
import { messageOf } from "../base/errors.ts";
import { instanceId } from "../base/ids.ts";
import {
  AgentDurability,
  AgentGates,
  AgentLines,
  type EndpointPlace,
  layoutOf,
  type Listening,
  loopbackAddress,
  PushedTopology,
  TopologyFollower,
} from "../cluster/index.ts";
import { TokenJudge } from "../iam/index.ts";
import { openLogger, realClock, realDisk, realEntropy, realSecretFiles } from "../io/index.ts";
import {
  type Auditor,
  type Endpoint,
  type EndpointServer,
  EndpointSet,
  type EndpointState,
  startEndpoints,
  type TokenLogins,
} from "../session/index.ts";
import { AccessLists } from "./access-lists.ts";
import { commandsIn } from "./admin-commands.ts";
import { lookThrough } from "./admin-look.ts";
import { dieLoudly, startChild, untilStopped } from "./child.ts";
import { isErrno } from "./errno.ts";
import { proxyConfigSchema } from "./proxy-config.ts";

/** For the control plane. */
function listeningOf(states: readonly EndpointState[]): Listening {
  const shut = states.flatMap(({ endpoint, kind, error }) => {
    const { id, address, loopback } = endpoint;
    // Nobody need miss a further address: the endpoint has its port.
    if (kind !== "shut" || address.kind !== "tcp" || loopback !== undefined) return [];
    const isTaken = isErrno(error, "EADDRINUSE");
    return { id, port: address.port, isTaken, why: messageOf(error) };
  });
  const opened = states.filter(({ kind }) => kind === "open").map(({ endpoint }) => endpoint);
  const open = opened.filter(({ loopback }) => loopback === undefined).map(({ id }) => id);
  return { open, shut, loopback: opened.flatMap(({ loopback }) => loopback ?? []) };
}

const { config: raw, stop, serve } = await startChild("borealis proxy");
const config = proxyConfigSchema.parse(raw);
const layout = layoutOf(config.dataDir, config.runtimeDir);
const logger = openLogger({
  file: config.logFile,
  process: "proxy",
  level: config.logLevel,
  maxBytes: config.logMaxBytes,
});
dieLoudly(logger);
const { tls, host } = config;
const follower = new TopologyFollower({
  controlSocket: layout.controlSocket,
  clock: realClock,
  logger,
});
const topology = new PushedTopology(follower, config.postgresMajor);
const lines = new AgentLines(topology);
const { mode, leaseMs } = config.gate;
const { loopbackPort } = config;
const endpointsAt = ({ id, type, port }: EndpointPlace): Endpoint[] => {
  const own = { id, type, ...(type === "instance" ? { instanceId: instanceId(id) } : {}) };
  const places: Endpoint[] = [{ ...own, address: { kind: "tcp", host, port } }];
  if (loopbackPort === null) return places;
  const loopback = loopbackAddress(port, loopbackPort);
  const address = { kind: "tcp", host: loopback, port: loopbackPort } as const;
  return [...places, { ...own, address, loopback }];
};
const audit = config.audit
  ? new AuditLog({ disk: realDisk, clock: realClock, logger, ...config.audit })
  : undefined;
const auditor: Auditor | undefined =
  audit && config.audit
    ? {
        statements: config.audit.statements,
        record: (event, facts) => audit.record(event, facts),
        get lostCount() {
          return audit.lostCount;
        },
      }
    : undefined;
const command = commandsIn(layout, logger);
const admin = new AdminData({
  masterUser: config.masterUser,
  serverVersion: config.engineVersion,
  clock: realClock,
  logger,
  command: (asked, wait) => {
    auditor?.record("command", { ...asked.by, command: asked.text });
    return command(asked, wait);
  },
  look: { ...lookThrough(layout.controlSocket), sessions: () => server.sessionRows },
});
const access = new AccessLists(config.allow, logger);
access.follow(config.endpoints);
function openTokenLogins({ iam }: typeof config): TokenLogins | undefined {
  if (!iam) return undefined;
  const { usersFile: file, region, hosts, tellsWhy } = iam;
  const ports = (): number[] =>
    endpoints.states.flatMap(({ endpoint: { address } }) =>
      address.kind === "tcp" ? [address.port] : [],
    );
  const world = { files: realSecretFiles, clock: realClock, logger };
  const judge = new TokenJudge({ file, region, hosts, ports, ...world });
  return { judge: (login) => judge.judge(login), tellsWhy };
}
const server: EndpointServer = await startEndpoints({
  // None yet: a port that somebody has taken meanwhile must not keep the others shut.
  endpoints: [],
  tls:
    tls === null
      ? undefined
      : { key: tls.key, cert: tls.cert, mode: tls.isRequired ? "require" : "prefer" },
  topology,
  awaitDurable: new AgentDurability(lines),
  gates:
    mode === "off"
      ? undefined
      : new AgentGates({ mode, leaseMs, topology, lines, clock: realClock, logger }),
  clock: realClock,
  entropy: realEntropy,
  logger,
  limits: {
    authenticationTimeoutMs: config.authenticationTimeoutMs,
    holdTimeoutMs: config.holdTimeoutMs,
    journalBytesMax: config.replayMaxBytes,
    unauthenticatedMax: config.unauthenticatedMax,
    unauthenticatedPerAddressMax: config.unauthenticatedPerAddressMax,
    connectionsPerSecond: config.connectionsPerSecond,
    connectionsBurst: config.connectionsBurst,
    failuresMax: config.failuresMax,
    failureDelayMs: config.failureDelayMs,
  },
  pooling: config.pooling,
  adminDatabase: admin,
  tokenLogins: openTokenLogins(config),
  admission: access,
  auditor,
});
const endpoints = new EndpointSet({
  server,
  opened: [],
  clock: realClock,
  logger,
  onChange: () => follower.tellListening(listeningOf(endpoints.states)),
});
follower.reportSessions(() => server.figures);
follower.reportRemaining((id) => server.remainingOn(id));
const follow = (places: readonly EndpointPlace[]): void => {
  if (places.length === 0) return;
  access.follow(places);
  endpoints.follow(places.flatMap(endpointsAt));
};
follow(config.endpoints);
follower.onChange(() => follow(follower.current.endpoints));
follow(follower.current.endpoints);
serve({});
logger.info({ event: "proxy.started", endpoints: config.endpoints.length, gate: mode });
if (mode === "off")
  logger.warn({ event: "gate.off" }, "a writer that was fenced may serve stale reads");
const reason = await untilStopped(stop);
const { sessionCount: sessions, outcomeCounts: outcomes } = server;
const { errors } = server.figures;
logger.info({ event: "proxy.stopping", reason, sessions, outcomes, errors });
follower.close();
await endpoints.close();
await server.close();
admin.close();
await audit?.close();
process.exit(0);
