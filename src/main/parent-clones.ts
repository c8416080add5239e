import { existsSync } from "node:fs";
import { assert } from "../base/assert.ts";
import {
  type ClusterState,
  type Layout,
  parseClusterState,
  type PinnedClone,
  pinnedCloneSchema,
  released,
} from "../cluster/index.ts";
import type { CloneOrigin } from "./clone-origin.ts";
import { tell } from "./control-calls.ts";
import { lockDataDir, readState, resolveLayout } from "./data-dir.ts";
import { replaceFile } from "./replace-file.ts";
import { isRunning } from "./running.ts";

/** What a clone asks of its parent: through the control plane while that runs, else in its state file. */
export interface ParentOrder {
  readonly pinId: string;
  readonly dataDir: string;
  readonly createdAt: string;
}

/** The parent links files and reads up to a segment of log. */
const pinTimeoutMs = 90_000;
const releaseTimeoutMs = 30_000;

/** Keeps the log of a running parent. Raises as tell does; the control plane says 54000, 22023, 57P03. */
export async function pinRunning(
  parent: Layout,
  order: ParentOrder & { readonly to: string | null },
): Promise<PinnedClone> {
  return pinnedCloneSchema.parse(await tell(parent, "pinClone", order, pinTimeoutMs));
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

/** Raises as tell does, and 55000 when the parent starts at this moment. */
export async function releasePin(layout: Layout, pinId: string): Promise<void> {
  if (!isRunning(layout)) return changeStopped(layout, (state) => released(state, pinId));
  await tell(layout, "releaseClone", { pinId }, releaseTimeoutMs);
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
