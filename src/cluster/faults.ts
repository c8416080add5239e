import { BorealisError, sqlState } from "../base/errors.ts";
import type { ClusterEvent } from "../events/index.ts";
import type { FaultOrder, Injected } from "../instance/index.ts";
import type { NodeFaults } from "./fault-messages.ts";
import type { ClusterState } from "./state.ts";

type Fault = FaultOrder["fault"];
type Of<K extends Fault["kind"]> = Extract<Fault, { kind: K }>;
export type DiskFault = Of<"diskFailure" | "diskCongestion">;

/** A volume has one here, of which all nodes hold copies. */
const protectionGroups = 1;

/** Ids of the storage nodes that a disk's fault is about. Raises 22023, which names the largest index. */
export function nodesOf(
  { index, isDisk }: Pick<DiskFault, "index" | "isDisk">,
  { nodes }: Pick<ClusterState, "nodes">,
): string[] {
  const count = isDisk ? protectionGroups : nodes.length;
  if (index >= count)
    throw new BorealisError(
      sqlState.invalidParameter,
      `there is no ${isDisk ? "disk" : "node"} ${index}: the maximum index is ${count - 1}`,
      { hint: "aurora_show_volume_status() tells how many there are; the first is 0." },
    );
  const ids = nodes.map(({ id }) => id);
  return isDisk ? ids : ids.slice(index, index + 1);
}

/** Readers that a replica's failure is about. Raises 42704 for another name, 55000 where there is no reader. */
export function replicasOf(
  replica: string,
  { instances, writer }: Pick<ClusterState, "instances" | "writer">,
): string[] {
  const readers = instances.map(({ id }) => id).filter((id) => id !== writer);
  if (readers.length === 0)
    throw new BorealisError(sqlState.notInPrerequisiteState, "this cluster has no readers");
  if (replica === "") return readers;
  if (readers.includes(replica)) return [replica];
  const why = replica === writer ? `${replica} is the writer` : `there is no replica "${replica}"`;
  throw new BorealisError(sqlState.undefinedObject, why, {
    hint: `There are ${readers.join(", ")}.`,
  });
}

/** As a storage node takes it. */
export function nodeOrder(fault: DiskFault): unknown {
  const { percent, seconds } = fault;
  const order = { percent, durationMs: seconds * 1000 };
  if (fault.kind === "diskFailure") return { ...order, kind: "failure" };
  return { ...order, kind: "congestion", delayMinMs: fault.minMs, delayMaxMs: fault.maxMs };
}

/** What people read of it afterwards. */
export function faultEvents(
  { fault, user, instance }: FaultOrder,
  { on, untilMs }: Injected,
): Omit<ClusterEvent, "time">[] {
  const until = untilMs === null ? "" : `, until ${new Date(untilMs).toISOString()}`;
  const message = `Injected fault: ${whatOf(fault)}${until}. Asked for by ${user} at ${instance}.`;
  const sourceType = fault.kind.startsWith("disk") ? "storage" : "instance";
  return on.map((source) => ({ sourceType, source, category: "notification", message }));
}

function whatOf(fault: Fault): string {
  switch (fault.kind) {
    case "crash":
      return fault.what === "node"
        ? "crash of the node: instance, dispatcher and agent"
        : `crash of ${fault.what}`;
    case "replicaFailure":
      return heldText(fault.percent);
    case "diskFailure":
      return refusedText(fault.percent);
    case "diskCongestion":
      return delayedText(fault.percent, fault.minMs, fault.maxMs);
    default:
      return fault satisfies never;
  }
}

function heldText(percent: number): string {
  return `${percent} % of the log is kept back`;
}
function refusedText(percent: number): string {
  return `${percent} % of requests are refused`;
}
function delayedText(percent: number, minMs: number, maxMs: number): string {
  return `${percent} % of requests are delayed by ${minMs} to ${maxMs} ms`;
}

function textOf(what: string, untilMs: number): string {
  return `injected: ${what}, until ${new Date(untilMs).toISOString()}`;
}

/** For status, while it lasts. */
export function nodeFaultText(faults: NodeFaults | undefined): { fault?: string } {
  if (!faults || faults.active.length === 0) return {};
  const texts = faults.active.map(({ kind, percent, delayMinMs, delayMaxMs, untilMs }) =>
    textOf(
      kind === "failure" ? refusedText(percent) : delayedText(percent, delayMinMs, delayMaxMs),
      untilMs,
    ),
  );
  return { fault: texts.join("; ") };
}

export function heldLogText(
  held: { readonly percent: number; readonly untilMs: number } | undefined,
): { fault?: string } {
  return held ? { fault: textOf(heldText(held.percent), held.untilMs) } : {};
}
