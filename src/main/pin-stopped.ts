import { BorealisError, sqlState } from "../base/errors.ts";
import { branched, type ClusterState, type Layout, released, withClone } from "../cluster/index.ts";
import { linkOwner, pinForClone, volumeNodes } from "../instance/index.ts";
import { realClock } from "../io/index.ts";
import { startLogDriver } from "../log-driver/index.ts";
import type { BranchPoint, FindBranch } from "./clone-point.ts";
import type { Settings } from "./config.ts";
import { lockDataDir } from "./data-dir.ts";
import { type ParentOrder, saveChange } from "./parent-clones.ts";
import { type StoppedVolume, withStoppedVolume } from "./stopped-volume.ts";

export interface StoppedCluster {
  readonly layout: Layout;
  readonly state: ClusterState;
  readonly settings: Settings;
}

/**
 * Keeps the log of a cluster that does not run for a clone: its storage nodes run meanwhile, and an epoch without a byte is
 * opened, since only an open epoch keeps a pin. Raises 55000 when the cluster starts at this moment, or never ran; 57P03
 * when fewer than four nodes are there.
 */
export async function pinStopped(
  cluster: StoppedCluster,
  order: ParentOrder,
  find: FindBranch,
): Promise<BranchPoint> {
  const { layout, state } = cluster;
  if (!state.isBootstrapped) {
    throw new BorealisError(
      sqlState.notInPrerequisiteState,
      `the cluster in ${layout.dataDir} has never run, so there is nothing to clone`,
      { hint: "start it once: borealis up" },
    );
  }
  const unlock = lockDataDir(layout);
  try {
    // First what is known, then what is kept.
    saveChange(layout, (now) => withClone(now, order));
    return await withStoppedVolume(cluster, (volume) => pinWith(volume, cluster, { order, find }));
  } catch (error) {
    saveChange(layout, (now) => released(now, order.pinId));
    throw error;
  } finally {
    unlock();
  }
}

async function pinWith(
  volume: StoppedVolume,
  { layout, state, settings }: StoppedCluster,
  { order: { pinId }, find }: { readonly order: ParentOrder; readonly find: FindBranch },
): Promise<BranchPoint> {
  const { nodes, credential } = volume;
  const owner = linkOwner({ volumeId: state.volumeId, instance: "clone", credential });
  const driver = startLogDriver({
    nodes: volumeNodes({ nodes }),
    owner,
    leaseMs: 0,
    ringBytes: 1024 * 1024,
    logFile: `${layout.logDir}/clone-driver.log`,
    logLevel: settings["log.level"],
  });
  try {
    await driver.claim();
    const opened = await driver.open("keep");
    const reader = { nodes: volumeNodes({ nodes }), owner, clock: realClock };
    const branch = await find({ nodes, credential: credential ?? undefined });
    const pin = await pinForClone({ driver, opened, reader }, { pinId, to: branch.to });
    saveChange(layout, (now) => branched(now, pinId, pin.to));
    await driver.release();
    return branch;
  } finally {
    driver.stop();
  }
}
