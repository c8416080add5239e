import { readFileSync } from "node:fs";
import { volumeId } from "../../src/base/ids.ts";
import { type ClusterState, type Layout, parseClusterState } from "../../src/cluster/index.ts";
import { openLogger } from "../../src/io/index.ts";
import { VolumeKeys } from "../../src/main/volume-keys.ts";
import { ExtentSealer } from "../../src/volume/index.ts";
import type { TestCluster } from "./cluster.ts";
import { layoutFor } from "./volume-log.ts";

/** What a test needs to read a cluster's objects itself: the volume's keys are opened as a keeper opens them. */
export async function openSealer(
  cluster: TestCluster,
): Promise<{ layout: Layout; state: ClusterState; sealer: ExtentSealer }> {
  const layout = layoutFor(cluster.dataDir);
  const parsed = parseClusterState(readFileSync(layout.stateFile, "utf8"));
  if (parsed.kind !== "state") throw new Error("no state");
  const { state } = parsed;
  const keys = await VolumeKeys.open(
    layout,
    state,
    openLogger({ file: undefined, process: "test" }),
  );
  const sealer = new ExtentSealer({ volumeId: volumeId(state.volumeId), keys: keys?.dataKeys });
  return { layout, state, sealer };
}
