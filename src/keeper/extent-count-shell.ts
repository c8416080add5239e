import { messageOf } from "../base/errors.ts";
import { extentPrefix, type ObjectStore } from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import type { ExtentReport } from "./messages.ts";

/** Clones come and go unseen; and a store shows a million extents in about ten seconds. */
const everyMs = 60_000;
/** Of the time: after a change, and otherwise. */
const shares = { soon: 1 / 20, usual: 1 / 100 } as const;

/** How many bytes the extents of the volume take: counted in one store, since each has all of them. */
export class ExtentCount {
  private readonly context: KeeperContext;
  private counted: ExtentReport | null = null;
  private endedMs: number | undefined;
  private tookMs = 0;
  private hasChanged = false;

  constructor(context: KeeperContext) {
    this.context = context;
  }

  /** As they were counted last; null: not yet. */
  get report(): ExtentReport | null {
    return this.counted;
  }

  /** Extents came or went. */
  noteChange(): void {
    this.hasChanged = true;
  }

  get isDue(): boolean {
    if (this.endedMs === undefined) return true;
    const sinceMs = this.context.clock.nowMs() - this.endedMs;
    if (this.hasChanged) return sinceMs * shares.soon >= this.tookMs;
    return sinceMs >= everyMs && sinceMs * shares.usual >= this.tookMs;
  }

  /** A store that cannot be listed is passed over; with none that can, what was counted before stands. */
  async count(signal: AbortSignal): Promise<void> {
    const { clock, logger } = this.context;
    const startedMs = clock.nowMs();
    this.hasChanged = false;
    for (const store of this.stores()) {
      try {
        this.counted = await countIn(store, signal);
        break;
      } catch (error) {
        if (signal.aborted) return;
        logger.debug({ event: "extents.notCounted", store: store.label }, messageOf(error));
      }
    }
    this.endedMs = clock.nowMs();
    this.tookMs = this.endedMs - startedMs;
  }

  private stores(): ObjectStore[] {
    const { context } = this;
    const nodes = context.nodeStores().filter((store) => !context.isBehind(store));
    const objects = context.objects();
    return objects ? [...nodes, objects] : nodes;
  }
}

async function countIn(store: ObjectStore, signal: AbortSignal): Promise<ExtentReport> {
  let [bytes, sharedBytes] = [0, 0];
  for await (const { sizeBytes, isShared } of store.list(extentPrefix)) {
    signal.throwIfAborted();
    bytes += sizeBytes;
    if (isShared) sharedBytes += sizeBytes;
  }
  return { bytes, sharedBytes };
}
