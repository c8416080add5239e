import { AdminData } from "../api/index.ts";
import { messageOf } from "../base/errors.ts";
import { instanceId } from "../base/ids.ts";
import {
  AgentDurability,
  AgentGates,
  AgentLines,
  type EndpointPlace,
  type Listening,
  PushedTopology,
  TopologyFollower,
} from "../cluster/index.ts";
import { openLogger, realClock, realEntropy } from "../io/index.ts";
import {
  type Endpoint,
  type EndpointServer,
  EndpointSet,
  type EndpointState,
  startEndpoints,
} from "../session/index.ts";
import { lookThrough } from "./admin-look.ts";
import { dieLoudly, startChild, untilStopped } from "./child.ts";
import { isErrno } from "./errno.ts";
import { proxyConfigSchema } from "./proxy-config.ts";

/** For the control plane. */
function listeningOf(states: readonly EndpointState[]): Listening {
  const shut = states.flatMap(({ endpoint, kind, error }) => {
    const { id, address } = endpoint;
    if (kind !== "shut" || address.kind !== "tcp") return [];
    const isTaken = isErrno(error, "EADDRINUSE");
    return { id, port: address.port, isTaken, why: messageOf(error) };
  });
  const open = states.filter(({ kind }) => kind === "open").map(({ endpoint }) => endpoint.id);
  return { open, shut };
}

const { config: raw, stop } = await startChild("borealis proxy");
const config = proxyConfigSchema.parse(raw);
const logger = openLogger({
  file: config.logFile,
  process: "proxy",
  level: config.logLevel,
  maxBytes: config.logMaxBytes,
});
dieLoudly(logger);
const { tls, host } = config;
const follower = new TopologyFollower({
  controlSocket: config.controlSocket,
  clock: realClock,
  logger,
});
const topology = new PushedTopology(follower);
const lines = new AgentLines(topology);
const { mode, leaseMs } = config.gate;
const endpointAt = ({ id, type, port }: EndpointPlace): Endpoint => ({
  id,
  type,
  address: { kind: "tcp", host, port },
  ...(type === "instance" ? { instanceId: instanceId(id) } : {}),
});
const admin = new AdminData({
  masterUser: config.masterUser,
  serverVersion: config.engineVersion,
  clock: realClock,
  logger,
  look: { ...lookThrough(config.controlSocket), sessions: () => server.sessionRows },
});
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
    unauthenticatedMax: config.unauthenticatedMax,
  },
  pooling: config.pooling,
  adminDatabase: admin,
});
const endpoints = new EndpointSet({
  server,
  opened: [],
  clock: realClock,
  logger,
  onChange: () => follower.tellListening(listeningOf(endpoints.states)),
});
follower.reportSessions(() => server.figures);
const follow = (places: readonly EndpointPlace[]): void => {
  if (places.length > 0) endpoints.follow(places.map(endpointAt));
};
follow(config.endpoints);
follower.onChange(() => follow(follower.current.endpoints));
follow(follower.current.endpoints);
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
process.exit(0);
