import { BorealisError, sqlState } from "../base/errors.ts";
import { realClock } from "../io/index.ts";
import { type Layout, leavingSchema, type StatusReport } from "../cluster/index.ts";
import { BuildingWatch } from "./building-watch.ts";
import { type CommandReport, pause, type Workplace } from "./command-report.ts";
import { reportOf, stateOf } from "./commands.ts";
import { ask, tell } from "./control-calls.ts";
import { reachableHost } from "./urls.ts";
import { notRunning } from "./running.ts";

const pollMs = 200;
const rebootMs = 100_000;

type InstanceRow = StatusReport["instances"][number];

/** Adds a reader; returns when it takes sessions. Who waits no more ends the waiting, not the building. */
export async function instanceAdd(
  place: Workplace,
  wish: { readonly id?: string; readonly az?: string; readonly tier?: string },
): Promise<CommandReport> {
  const { layout } = place;
  stateOf(layout);
  const startedMs = performance.now();
  const { id = null, az = null, tier } = wish;
  const asked = { id, az, tier: tier === undefined ? null : parseTier(tier) };
  const name = nameOf(await tell(layout, "addInstance", asked));
  const row = await untilAvailable(name, place);
  const address = await addressOf(name, layout);
  const seconds = ((performance.now() - startedMs) / 1000).toFixed(1);
  return { document: row, lines: [`${name} takes sessions at ${address} (${seconds} s)`] };
}

/** Removes a reader; returns when nothing of it is left. Who waits no more ends the waiting, not the removal. */
export async function instanceRemove(
  { layout, signal }: Workplace,
  id: string,
): Promise<CommandReport> {
  stateOf(layout);
  await tell(layout, "removeInstance", { id });
  for (;;) {
    const { leaving } = leavingSchema.parse(await ask(layout, "leavingInstances"));
    if (!leaving.includes(id)) break;
    await pause(pollMs, signal);
  }
  return { document: { removed: id }, lines: [`${id} is removed`] };
}

/** Changes an instance's tier, its place in the order of failover. */
export async function instanceModify(
  { layout }: Workplace,
  id: string,
  wish: { readonly tier: string },
): Promise<CommandReport> {
  stateOf(layout);
  const tier = parseTier(wish.tier);
  await tell(layout, "modifyInstance", { id, tier });
  return { document: { id, tier }, lines: [`${id} has tier ${tier}`] };
}

/** Restarts an instance's PostgreSQL; returns when it takes sessions again. */
export async function instanceReboot({ layout }: Workplace, id: string): Promise<CommandReport> {
  stateOf(layout);
  const startedMs = performance.now();
  await tell(layout, "restartInstance", { id }, rebootMs);
  const ms = Math.round(performance.now() - startedMs);
  const line = `${id} takes sessions again (${(ms / 1000).toFixed(1)} s)`;
  return { document: { rebooted: id, ms }, lines: [line] };
}

function parseTier(text: string): number {
  if (/^\d{1,2}$/.test(text) && Number(text) <= 15) return Number(text);
  throw new BorealisError(sqlState.invalidParameter, `--tier takes a number from 0 to 15`, {
    hint: "the reader of the lowest tier is promoted first",
  });
}

async function untilAvailable(
  id: string,
  { layout, progress, signal }: Workplace,
): Promise<InstanceRow> {
  const watch = new BuildingWatch(progress, realClock.nowMs());
  for (;;) {
    const report = await reportOf(layout);
    const row = report.instances.find((one) => one.id === id);
    if (!row) {
      throw new BorealisError(sqlState.notInPrerequisiteState, `${id} was removed meanwhile`, {
        hint: "borealis status shows the instances",
      });
    }
    if (row.state === "available") {
      progress.end();
      return row;
    }
    if (report.cluster.state === "stopped") throw notRunning(layout);
    watch.take(row, report.cluster.vdl, realClock.nowMs());
    await pause(pollMs, signal);
  }
}

async function addressOf(id: string, layout: Layout): Promise<string> {
  const { endpoints } = await reportOf(layout);
  const { host, port } = endpoints.find((one) => one.id === id) ?? { host: "", port: 0 };
  return `${reachableHost(host)}:${port}`;
}

function nameOf(added: unknown): string {
  const hasId = typeof added === "object" && added !== null && "id" in added;
  if (hasId && typeof added.id === "string") return added.id;
  throw new BorealisError(sqlState.internal, "the control plane did not say what it added");
}
