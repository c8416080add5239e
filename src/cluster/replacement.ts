import type { VolumeNodes, WantedMembers } from "../instance/index.ts";
import type { FolderVerdict } from "../storage-node/index.ts";
import { type Layout, nodeAddress, type NodePlace, type NodePorts } from "./layout.ts";
import type { ClusterState, NodeState } from "./state.ts";

/**
 * How a storage node is replaced: what comes next, and what the cluster's state says at each moment. Pure.
 *
 *     asked, or its disk is lost ──▶ next {made: no} ──▶ next {made} ──▶ changeMembers ──▶ the member, filling ──▶ full
 *                                    state first         then it runs    settled          old disk wiped
 *
 * A change is settled when a write quorum holds everything, which the successor need not be one of: until it is full the
 * group has a copy less than it could have, and nobody else is given up without need.
 *
 * Each arrow is one write of control/state.json, so whoever dies, and when, the next control plane goes on from there. It
 * may repeat a step: each can be repeated. Whether a change is settled, storage says.
 */

/** All but `ok` are lost disks. */
export const diskVerdicts = [
  "ok",
  "missing",
  "failed",
  "unreadable",
  "foreign",
] as const satisfies readonly FolderVerdict[];
export type DiskVerdict = FolderVerdict;

/** Name of the process of a member while its successor has its name. */
export function leavingName(id: string): string {
  return `${id}.old`;
}

export interface ReplacementView {
  /** A writer is open, and a write quorum answers it: only then may members change, and are disks judged. */
  readonly isOpen: boolean;
  /** By process name; undefined: nobody has looked. */
  diskOf(process: string): DiskVerdict | undefined;
}

export type ReplacementStep =
  | { readonly kind: "rest" }
  /** There is something to do, and nobody who could. */
  | { readonly kind: "wait"; readonly id: string }
  /** Choose a successor, for the first time or because its own disk is lost. */
  | { readonly kind: "choose"; readonly id: string; readonly why: string }
  | { readonly kind: "make"; readonly id: string }
  | { readonly kind: "change"; readonly id: string }
  /** Wait until the new member has caught up. */
  | { readonly kind: "fill"; readonly id: string };

/** One at a time: what has begun, then what lost its disk, then what fills itself, then what was asked for. */
export function nextStep(state: ClusterState, view: ReplacementView): ReplacementStep {
  const begun = state.nodes.find((node) => node.next);
  if (begun) return stepOf(begun, view);
  const waiting = state.nodes.map((node) => ({ node, why: whyLost(node, view) }));
  const lost = waiting.find(({ why }) => why !== undefined);
  const filling = state.nodes.find((node) => node.isFilling);
  // One that does not come to its end is given up for another if that is asked for.
  const wanted = filling ? [filling] : state.nodes;
  const next = wanted.find((node) => node.replaceWhy !== undefined);
  const node = lost?.node ?? next;
  if (!node) return filling ? { kind: "fill", id: filling.id } : { kind: "rest" };
  const { id } = node;
  if (!view.isOpen) return { kind: "wait", id };
  return { kind: "choose", id, why: lost?.why ?? node.replaceWhy ?? "" };
}

function stepOf(node: NodeState, view: ReplacementView): ReplacementStep {
  const { id, next } = node;
  if (next?.isMade !== true) return { kind: "make", id };
  const disk = view.diskOf(id);
  if (!view.isOpen) return { kind: "wait", id };
  if (isLost(disk)) return { kind: "choose", id, why: `its successor's disk is ${disk}` };
  return { kind: "change", id };
}

/** Why the member's disk is lost; undefined: it is not, for all that is known. */
function whyLost(node: NodeState, view: ReplacementView): string | undefined {
  const disk = view.diskOf(node.id);
  return isLost(disk) ? `its disk is ${disk}` : undefined;
}

function isLost(disk: DiskVerdict | undefined): disk is Exclude<DiskVerdict, "ok"> {
  return disk !== undefined && disk !== "ok";
}

function withNode(
  state: ClusterState,
  id: string,
  change: (node: NodeState) => NodeState,
): ClusterState {
  return { ...state, nodes: state.nodes.map((node) => (node.id === id ? change(node) : node)) };
}

export function asked(state: ClusterState, id: string, why: string): ClusterState {
  return withNode(state, id, (node) => ({ ...node, replaceWhy: node.replaceWhy ?? why }));
}

export function chosen(state: ClusterState, id: string, nodeId: string, why: string): ClusterState {
  return withNode(state, id, (node) => ({
    ...node,
    isFilling: undefined,
    replaceWhy: node.replaceWhy ?? why,
    next: { nodeId, isMade: false },
  }));
}

export function made(state: ClusterState, id: string, nodeId: string): ClusterState {
  return withNode(state, id, (node) =>
    node.next?.nodeId === nodeId ? { ...node, next: { nodeId, isMade: true } } : node,
  );
}

/** The change to `nodeId` is settled: it is the member. */
export function replaced(state: ClusterState, id: string, nodeId: string): ClusterState {
  return withNode(state, id, (node) => {
    if (node.next?.nodeId !== nodeId) return node;
    const { az, kind, side = 0 } = node;
    return { id, nodeId, az, kind, side: side === 0 ? 1 : 0, isFilling: true };
  });
}

/** The member has caught up. */
export function filled(state: ClusterState, id: string): ClusterState {
  return withNode(state, id, (node) => ({ ...node, isFilling: undefined }));
}

/** The members as they shall be once the successor of `id` is one. */
export function membersWithNext(state: ClusterState, id: string): WantedMembers {
  return state.nodes.map(({ id: own, nodeId, az, kind, next }) => ({
    nodeId: own === id && next ? next.nodeId : nodeId,
    az,
    kind,
  }));
}

function memberPlace({ id, nodeId, side }: NodeState): NodePlace {
  return { id, nodeId, side };
}

function nextPlace({ id, next, side = 0 }: NodeState): NodePlace | undefined {
  return next && { id, nodeId: next.nodeId, side: side === 0 ? 1 : 0 };
}

/** The node that has the name now: people see the successor. */
export function shownNode(node: NodeState): NodePlace {
  return nextPlace(node) ?? memberPlace(node);
}

/** Everybody who may be a member, with the address: what agents and nodes have to know. */
export function addressBook(state: ClusterState, layout: Layout, ports: NodePorts): VolumeNodes {
  return state.nodes.flatMap((node) => {
    const { id: name, az, kind } = node;
    const entry = (place: NodePlace, isMember: boolean): VolumeNodes[number] => {
      const address = nodeAddress(layout, ports, place);
      return { name, nodeId: place.nodeId, az, kind, address, isMember };
    };
    const member = entry(memberPlace(node), true);
    const next = node.next?.isMade ? nextPlace(node) : undefined;
    return next ? [member, entry(next, false)] : [member];
  });
}
