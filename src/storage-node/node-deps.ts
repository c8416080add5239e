import type { Clock, Disk, Entropy, Logger } from "../io/index.ts";
import type { DataKeys } from "../keys/index.ts";

/** The world of a storage node. */
export interface StorageNodeDeps {
  readonly clock: Clock;
  readonly disk: Disk;
  readonly entropy: Entropy;
  readonly logger: Logger;
  /** The node is finished: its disk failed, or a law of ours is broken. The process has to end, at once. */
  readonly onFatal: (error: unknown) => void;
  /** Calls back whenever the volume's keys have changed: frames from then on are encrypted with the current one. */
  readonly followKeys?: (take: (keys: DataKeys) => void) => void;
}
