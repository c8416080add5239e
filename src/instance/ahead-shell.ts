import { sleep } from "../io/index.ts";
import { type Claimed, inspectVolume } from "../log-driver/index.ts";
import { isUsable } from "../volume/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import { judge } from "./cache-shell.ts";
import type { FoundSnapshot } from "./hydration-messages.ts";
import { isUnwritten } from "./keep-timeline-shell.ts";
import type { AgentConfig, BackupSource } from "./messages.ts";
import { linkOwner, nodesNearestFirst } from "./nodes.ts";
import { hydrateNearest } from "./rebuild-shell.ts";

/** With what a writer-to-be goes on from its claim. */
export interface GoingOn {
  readonly sources: readonly BackupSource[];
  /** The cache was built while the volume was claimed. */
  readonly isBuilt: boolean;
  readonly signal: AbortSignal;
}

const askTimeoutMs = 1_000;
const againMs = 100;

/**
 * A writer-to-be without a cache hydrates while it claims: nodes that were just started make a claim wait for the lease of the
 * life before. What the claim finds decides whether the snapshot will do; if not, the cache is built again.
 */
export class AheadCache {
  private readonly config: AgentConfig;
  private readonly deps: AgentDeps;
  private readonly controller = new AbortController();
  private readonly signal: AbortSignal;
  private readonly built: Promise<FoundSnapshot | undefined>;
  private hasBegun = false;

  constructor(config: AgentConfig, deps: AgentDeps, signal: AbortSignal) {
    this.config = config;
    this.deps = deps;
    this.signal = AbortSignal.any([signal, this.controller.signal]);
    // Whatever stood in the way stands in the way of the ordinary rebuild, too, which tells.
    this.built = this.build().catch(() => undefined);
  }

  /** Whether the cache is built, and log leads from it to where the claim says; waits for its end if it has begun. */
  async isFor(claimed: Claimed): Promise<boolean> {
    if (!this.hasBegun) this.controller.abort();
    const found = await this.built;
    const wish = { path: claimed.history, at: claimed.start, base: claimed.low };
    return found !== undefined && !isUnwritten(this.config, claimed) && isUsable(found, wish);
  }

  /** Nothing of it writes any more when this resolves. */
  async cancel(): Promise<void> {
    this.controller.abort();
    await this.built;
  }

  private async build(): Promise<FoundSnapshot | undefined> {
    const { config, deps, signal } = this;
    if ((await judge(config)).kind !== "none") return undefined;
    const bounds = { clock: deps.clock, timeoutMs: askTimeoutMs, signal };
    for (;;) {
      const sight = await inspectVolume(nodesNearestFirst(config), linkOwner(config), bounds);
      if (signal.aborted) return undefined;
      if (sight) {
        const { path, base, end } = sight;
        // A volume that was never written begins with its genesis image.
        if (path.length === 0) return undefined;
        this.hasBegun = true;
        const reason = "there is none";
        return hydrateNearest({ config, deps, reason, signal }, { path, base, at: undefined }, end);
      }
      await sleep(deps.clock, againMs, signal);
    }
  }
}
