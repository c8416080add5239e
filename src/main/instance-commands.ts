import { setTimeout } from "node:timers/promises";
import { BorealisError, sqlState } from "../base/errors.ts";
import { realClock } from "../io/index.ts";
import { leavingSchema, type StatusReport } from "../cluster/index.ts";
import { BuildingWatch } from "./building-watch.ts";
import { type Options, printJson, readReport, requireCluster } from "./commands.ts";
import { ask, tell } from "./control-calls.ts";
import { print } from "./print.ts";
import { Progress } from "./progress.ts";
import { reachableHost } from "./urls.ts";
import { notRunning } from "./running.ts";

const pollMs = 200;
const rebootMs = 100_000;

type InstanceRow = StatusReport["instances"][number];

/** Adds a reader; returns when it takes sessions. Ctrl-C ends the waiting, not the building. */
export async function instanceAdd(
  options: Options & { readonly id?: string; readonly az?: string; readonly tier?: string },
): Promise<void> {
  const { layout } = requireCluster(options);
  const startedMs = performance.now();
  const { id = null, az = null, tier } = options;
  const wish = { id, az, tier: tier === undefined ? null : parseTier(tier) };
  const added = await tell(layout, "addInstance", wish);
  const name = nameOf(added);
  const row = await untilAvailable(name, options);
  if (options.json) return printJson(row);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  print(`${name} takes sessions at ${await addressOf(name, options)} (${seconds} s)`);
}

/** Removes a reader; returns when nothing of it is left. Ctrl-C ends the waiting, not the removal. */
export async function instanceRemove(id: string, options: Options): Promise<void> {
  const { layout } = requireCluster(options);
  await tell(layout, "removeInstance", { id });
  for (;;) {
    const { leaving } = leavingSchema.parse(await ask(layout, "leavingInstances"));
    if (!leaving.includes(id)) break;
    await setTimeout(pollMs);
  }
  if (options.json) printJson({ removed: id });
  else print(`${id} is removed`);
}

/** Changes an instance's tier, its place in the order of failover. */
export async function instanceModify(
  id: string,
  options: Options & { readonly tier: string },
): Promise<void> {
  const { layout } = requireCluster(options);
  const tier = parseTier(options.tier);
  await tell(layout, "modifyInstance", { id, tier });
  if (options.json) printJson({ id, tier });
  else print(`${id} has tier ${tier}`);
}

/** Restarts an instance's PostgreSQL; returns when it takes sessions again. */
export async function instanceReboot(id: string, options: Options): Promise<void> {
  const { layout } = requireCluster(options);
  const startedMs = performance.now();
  await tell(layout, "restartInstance", { id }, rebootMs);
  const ms = Math.round(performance.now() - startedMs);
  if (options.json) printJson({ rebooted: id, ms });
  else print(`${id} takes sessions again (${(ms / 1000).toFixed(1)} s)`);
}

function parseTier(text: string): number {
  if (/^\d{1,2}$/.test(text) && Number(text) <= 15) return Number(text);
  throw new BorealisError(sqlState.invalidParameter, `--tier takes a number from 0 to 15`, {
    hint: "the reader of the lowest tier is promoted first",
  });
}

async function untilAvailable(id: string, options: Options): Promise<InstanceRow> {
  const progress = new Progress({ isJson: options.json ?? false });
  try {
    const row = await follow(id, options, new BuildingWatch(progress, realClock.nowMs()));
    progress.end();
    return row;
  } finally {
    progress.close();
  }
}

async function follow(id: string, options: Options, watch: BuildingWatch): Promise<InstanceRow> {
  for (;;) {
    const report = await readReport(options);
    const row = report.instances.find((one) => one.id === id);
    if (!row) {
      throw new BorealisError(sqlState.notInPrerequisiteState, `${id} was removed meanwhile`, {
        hint: "borealis status shows the instances",
      });
    }
    if (row.state === "available") return row;
    if (report.cluster.state === "stopped") throw notRunning(requireCluster(options).layout);
    watch.take(row, report.cluster.vdl, realClock.nowMs());
    await setTimeout(pollMs);
  }
}

async function addressOf(id: string, options: Options): Promise<string> {
  const { endpoints } = await readReport(options);
  const { host, port } = endpoints.find((one) => one.id === id) ?? { host: "", port: 0 };
  return `${reachableHost(host)}:${port}`;
}

function nameOf(added: unknown): string {
  const hasId = typeof added === "object" && added !== null && "id" in added;
  if (hasId && typeof added.id === "string") return added.id;
  throw new BorealisError(sqlState.internal, "the control plane did not say what it added");
}
