import { segmentBytesMin } from "./file-sizes.ts";
import type { StorageNodeConfig } from "./node-config.ts";
import type { StorageNodeDeps } from "./node-deps.ts";
import { StorageNode } from "./node-shell.ts";
import { NodeStorage } from "./storage-shell.ts";

const defaultSegmentBytes = 16 * 1024 * 1024;

/**
 * Recovers the node in `config.dir` and serves it on `config.socketPath`. Raises BorealisError 55000 for a folder that
 * was never formatted or whose disk has failed, XX001 for one that cannot be read. What goes wrong later comes to
 * `deps.onFatal`, once; the process then has to end, by a signal (decisions.md D4).
 */
export async function runStorageNode(
  config: StorageNodeConfig,
  deps: StorageNodeDeps,
): Promise<StorageNode> {
  const segmentBytes = Math.max(config.segmentBytes ?? defaultSegmentBytes, segmentBytesMin);
  const { disk, entropy } = deps;
  const cipher = { keys: config.dataKeys, entropy };
  const storage = await NodeStorage.open({ disk, dir: config.dir, segmentBytes, cipher });
  const node = new StorageNode(config, deps, storage);
  storage.onFailure((error) => node.fail(error));
  deps.followKeys?.((keys) => {
    storage.log.files.cipher.setKeys(keys);
    deps.logger.info({ event: "keys.changed", current: keys.current });
  });
  await node.start();
  return node;
}
