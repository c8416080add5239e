import { BorealisError, sqlState } from "../base/errors.ts";
import { connectRpc, realClock, type RpcClient, sleep } from "../io/index.ts";
import {
  type ClusterState,
  type Health,
  healthSchema,
  type Layout,
  type ShutPort,
  type StatusReport,
  statusSchema,
} from "../cluster/index.ts";
import { BuildingWatch, watchStart } from "./building-watch.ts";
import type { UpOptions } from "./options.ts";
import { cannotListen } from "./ports-check.ts";
import { Progress } from "./progress.ts";
import { wantedPorts } from "./wanted-ports.ts";

const readyPollMs = 25;
/** Longer than any start seen on a loaded laptop; a start that needs more has a problem to be told. */
const readyDeadlineMs = 120_000;
/** Who has taken a port for a moment has left it by then, as a process that ends does. */
const portPatienceMs = 5_000;

interface Starting {
  readonly options: UpOptions;
  readonly stateNow: () => ClusterState;
}

/**
 * Waits until the cluster accepts writes and listens at all of its ports, and tells what takes its time. Raises 55000 for a port
 * that somebody else has, and keeps; 57P03 with what the instance said when nothing has moved for too long.
 */
export async function untilReady(layout: Layout, starting: Starting): Promise<StatusReport> {
  const progress = progressOf(starting.options);
  const watch = new BuildingWatch(progress, realClock.nowMs());
  const ready = new AbortController();
  void watchStart(layout, watch, ready.signal);
  try {
    const report = await whenReady(layout, { ...starting, watch });
    progress?.end();
    return report;
  } finally {
    ready.abort();
    progress?.close();
  }
}

/** A detached cluster tells nobody: who started it does. */
function progressOf({ json }: Pick<UpOptions, "json">): Progress | undefined {
  return process.send === undefined ? new Progress({ isJson: json }) : undefined;
}

/** Follows what is missing yet, and the ports that cannot be opened. */
class ReadyWatch {
  private sinceMs: number | undefined;
  /** For people, as in "the cluster does not ...". */
  missing = "accept writes";

  /** One that cannot be had, if that is so for long; else undefined. */
  look({ isWritable, shut }: Health, nowMs: number): ShutPort | undefined {
    this.missing = isWritable ? "listen at all of its ports" : "accept writes";
    this.sinceMs = shut.length === 0 ? undefined : (this.sinceMs ?? nowMs);
    const isLong = this.sinceMs !== undefined && nowMs - this.sinceMs >= portPatienceMs;
    return isLong ? shut[0] : undefined;
  }
}

async function whenReady(
  layout: Layout,
  { options, stateNow, watch }: Starting & { readonly watch: BuildingWatch },
): Promise<StatusReport> {
  const isPatient = (): boolean => realClock.nowMs() - watch.lastMovedMs < readyDeadlineMs;
  const ready = new ReadyWatch();
  let last: StatusReport | undefined;
  while (isPatient()) {
    let shut: ShutPort | undefined;
    try {
      const client = await connectRpc(
        { kind: "unix", path: layout.controlSocket },
        { timeoutMs: 1_000 },
      );
      const health = await untilHealthy(client, ready, isPatient);
      if (health === "ready")
        last = statusSchema.parse(await client.call("status", {}, { timeoutMs: 5_000 }));
      else shut = health;
      client.close();
      if (last?.cluster.state === "available") return last;
    } catch {
      // The control plane is not up yet, or restarts: its supervisor sees to that.
    }
    if (shut) throw cannotListen(options.host, wantedAs(shut, { options, stateNow }), shut);
    await sleep(realClock, readyPollMs);
  }
  const problem = last?.instances.find((one) => one.problem)?.problem;
  throw new BorealisError(
    sqlState.cannotConnectNow,
    `the cluster does not ${ready.missing} after ${readyDeadlineMs / 1000} s${problem ? `: ${problem}` : ""}`,
    { hint: `borealis logs --data-dir ${layout.dataDir} tells more` },
  );
}

/** Undefined: it went away, or nothing moves. */
async function untilHealthy(
  client: RpcClient,
  ready: ReadyWatch,
  isPatient: () => boolean,
): Promise<"ready" | ShutPort | undefined> {
  while (!client.closed && isPatient()) {
    const health = healthSchema.parse(await client.call("health"));
    if (health.isWritable && health.isListening) return "ready";
    const lasting = ready.look(health, realClock.nowMs());
    if (lasting) return lasting;
    await sleep(realClock, readyPollMs);
  }
  return undefined;
}

/** What the port is, in the words of the check before the start. */
function wantedAs({ id, port }: ShutPort, { options, stateNow }: Starting) {
  const found = wantedPorts(options, stateNow()).find((one) => one.port === port);
  return found ?? { port, what: `the endpoint ${id}`, option: "--port" };
}
