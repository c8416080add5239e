import type { LogPath } from "../volume/index.ts";
import type { KeeperContext } from "./keeper-shell.ts";
import type { SnapshotWays } from "./snapshot-taking-shell.ts";

/** The volume's path in the epoch of who writes; nodes are asked once in each. */
export class PathSeen {
  private readonly context: KeeperContext;
  private readonly see: SnapshotWays["see"];
  private seen: { readonly epoch: number; readonly path: LogPath } | undefined;

  constructor(context: KeeperContext, see: SnapshotWays["see"]) {
    this.context = context;
    this.see = see;
  }

  /** As it was found last; undefined: it never was. */
  get last(): LogPath | undefined {
    return this.seen?.path;
  }

  /** Undefined: nobody writes, or nobody says. Raises what asking the nodes raises, and when `signal` aborts. */
  async now(signal: AbortSignal): Promise<LogPath | undefined> {
    const { durable } = this.context.world();
    if (!durable) return undefined;
    if (this.seen?.epoch === durable.epoch) return this.seen.path;
    const sight = await this.see(this.context, signal);
    // Nodes that have not heard of this epoch yet would show the path before it.
    if (sight?.path.at(-1)?.epoch !== durable.epoch) return undefined;
    this.seen = { epoch: durable.epoch, path: sight.path };
    return sight.path;
  }
}
