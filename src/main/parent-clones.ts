import { existsSync } from "node:fs";
import { assert } from "../base/assert.ts";
import { connectRpc } from "../io/index.ts";
import {
  type ClusterState,
  type Layout,
  parseClusterState,
  type PinnedClone,
  pinnedCloneSchema,
  released,
} from "../cluster/index.ts";
import type { CloneOrigin } from "./clone-origin.ts";
import { isRunning } from "./commands.ts";
import { lockDataDir, readState, resolveLayout } from "./data-dir.ts";
import { replaceFile } from "./replace-file.ts";

/** What a clone asks of its parent: through the control plane while that runs, else in its state file. */
export interface ParentOrder {
  readonly pinId: string;
  readonly dataDir: string;
  readonly createdAt: string;
}

/** The parent links files and reads up to a segment of log. */
const pinTimeoutMs = 90_000;
const releaseTimeoutMs = 30_000;

/** Keeps the log of a running parent. Raises 54000, 22023, 57P03 as the control plane does. */
export async function pinRunning(
  parent: Layout,
  order: ParentOrder & { readonly to: string | null },
): Promise<PinnedClone> {
  const client = await connectRpc(
    { kind: "unix", path: parent.controlSocket },
    { timeoutMs: 5_000 },
  );
  try {
    const answer = await client.call("pinClone", order, { timeoutMs: pinTimeoutMs });
    return pinnedCloneSchema.parse(answer);
  } finally {
    client.close();
  }
}

export type Release = "released" | "noParent";

/**
 * Tells the parent that a clone needs nothing of it any more. A parent that does not run is told by its state file, and lets
 * go when it runs. `noParent`: it is not there any more, or another cluster is.
 */
export async function releaseAtParent({ parent, pinId }: CloneOrigin): Promise<Release> {
  if (!existsSync(parent.dataDir)) return "noParent";
  const layout = resolveLayout(parent.dataDir);
  if (readState(layout)?.volumeId !== parent.volumeId) return "noParent";
  await releasePin(layout, pinId);
  return "released";
}

/** Raises 08006 when the control plane does not answer, 55000 when the parent starts at this moment. */
export async function releasePin(layout: Layout, pinId: string): Promise<void> {
  if (!isRunning(layout)) return changeStopped(layout, (state) => released(state, pinId));
  const client = await connectRpc(
    { kind: "unix", path: layout.controlSocket },
    { timeoutMs: 5_000 },
  );
  try {
    await client.call("releaseClone", { pinId }, { timeoutMs: releaseTimeoutMs });
  } finally {
    client.close();
  }
}

/** Changes the state of a cluster that does not run, and does not start meanwhile. */
export function changeStopped(layout: Layout, change: (state: ClusterState) => ClusterState): void {
  const unlock = lockDataDir(layout);
  try {
    saveChange(layout, change);
  } finally {
    unlock();
  }
}

/** As changeStopped, by whoever holds the lock. */
export function saveChange(layout: Layout, change: (state: ClusterState) => ClusterState): void {
  const state = readState(layout);
  if (!state) return;
  const text = `${JSON.stringify(change(state), null, 2)}\n`;
  assert(parseClusterState(text).kind === "state", "a state that is written can be read");
  replaceFile(layout.stateFile, text, { isDurable: true });
}
