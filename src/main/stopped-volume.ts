import { openLogger } from "../io/index.ts";
import { addressBook, type ClusterState, type Layout } from "../cluster/index.ts";
import { type VolumeNodes } from "../instance/index.ts";
import type { ClusterCredential } from "../io/index.ts";
import { nodeConfig } from "./child-plans.ts";
import type { Settings } from "./config.ts";
import { readState } from "./data-dir.ts";
import { openLinkTransport } from "./link-transport.ts";
import { ManagedProcess } from "./managed-process.ts";
import { NodeProcesses } from "./node-processes.ts";
import { replaceFile } from "./replace-file.ts";
import { endLeftovers, prepareRuntimeDir } from "./supervisor.ts";
import { VolumeKeys } from "./volume-keys.ts";

const stopMs = 5_000;

/** The storage nodes of a cluster that does not run, as a job of the command line sees them. */
export interface StoppedVolume {
  readonly nodes: VolumeNodes;
  readonly credential: ClusterCredential | null;
}

/**
 * Runs the storage nodes of a cluster that does not run, and nothing else of it, while `use` works with them. The caller
 * holds the lock of the data directory. Nodes whose disk is lost do not start, as ever.
 */
export async function withStoppedVolume<T>(
  cluster: { readonly layout: Layout; readonly state: ClusterState; readonly settings: Settings },
  use: (volume: StoppedVolume) => Promise<T>,
): Promise<T> {
  const { layout, settings } = cluster;
  prepareRuntimeDir(layout);
  const logger = openLogger({
    file: `${layout.logDir}/supervisor.log`,
    process: "supervisor",
    level: settings["log.level"],
    maxBytes: settings["log.maxBytes"],
  });
  await endLeftovers(layout, logger);
  const stateNow = (): ClusterState => readState(layout) ?? cluster.state;
  const keys = await VolumeKeys.open(layout, cluster.state, logger);
  const links = await openLinkTransport(settings["storage.transport"], layout, cluster.state);
  const facts = { layout, settings, stateNow, keys, links };
  const nodes: NodeProcesses = new NodeProcesses({
    layout,
    logger,
    state: stateNow,
    config: (node) => nodeConfig(facts, node),
    nodePorts: links.nodePorts,
    process: (name, { config, mayStart }) =>
      new ManagedProcess(
        {
          name,
          entry: "storage-node",
          config,
          mayStart,
          stderrFile: `${layout.logDir}/${name}.stderr`,
          onStarted: () => remember(layout, nodes.all),
        },
        logger,
      ),
  });
  try {
    for (const node of nodes.all) node.start();
    return await use({
      nodes: addressBook(cluster.state, layout, links.nodePorts),
      credential: links.credentialOf("instance"),
    });
  } finally {
    await Promise.all(nodes.all.map((node) => node.stop(stopMs)));
  }
}

/** So that the next supervisor makes sure that none of these still runs. */
function remember(layout: Layout, all: readonly ManagedProcess[]): void {
  const pids = all.flatMap((one) => (one.pid === undefined ? [] : [one.pid]));
  replaceFile(layout.runtimeFile, JSON.stringify({ pids }), { isDurable: false });
}
