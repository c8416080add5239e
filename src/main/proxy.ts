import { instanceId } from "../base/ids.ts";
import {
  AgentDurability,
  AgentGates,
  AgentLines,
  type EndpointPlace,
  PushedTopology,
  TopologyFollower,
} from "../cluster/index.ts";
import { openLogger, realClock, realEntropy } from "../io/index.ts";
import { type Endpoint, EndpointSet, startEndpoints } from "../session/index.ts";
import { dieLoudly, startChild, untilStopped } from "./child.ts";
import { proxyConfigSchema } from "./proxy-config.ts";

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
const opened = config.endpoints.map(endpointAt);
const server = await startEndpoints({
  endpoints: opened,
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
});
const endpoints = new EndpointSet({ server, opened, clock: realClock, logger });
const follow = (): void => {
  const { endpoints: places } = follower.current;
  if (places.length > 0) endpoints.follow(places.map(endpointAt));
};
follower.onChange(follow);
follow();
logger.info({ event: "proxy.started", endpoints: config.endpoints.length, gate: mode });
if (mode === "off")
  logger.warn({ event: "gate.off" }, "a writer that was fenced may serve stale reads");
const reason = await untilStopped(stop);
const { sessionCount: sessions, outcomeCounts: outcomes } = server;
logger.info({ event: "proxy.stopping", reason, sessions, outcomes });
follower.close();
await endpoints.close();
await server.close();
process.exit(0);
