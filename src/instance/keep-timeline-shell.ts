import { parseLsn } from "../base/lsn.ts";
import { dataDirOf } from "../engine/index.ts";
import { type Claimed, compareLocalWal, VolumeReader } from "../log-driver/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import { hasLaterTimeline, judge, seedFromGenesis } from "./cache-shell.ts";
import type { AgentConfig } from "./messages.ts";
import { linkOwner, nodesNearestFirst } from "./nodes.ts";

/**
 * Whether this instance may go on where it was (D2): its WAL is the volume's up to the recovery LSN and reaches it. A
 * volume that was never written takes its log from the genesis image, wherever that is copied to, and its timeline: one
 * that is promoted there would leave the image's timeline without a byte in the volume, and no reader could follow it.
 */
export async function mayKeepTimeline(
  config: AgentConfig,
  deps: AgentDeps,
  claimed: Claimed,
): Promise<boolean> {
  const verdict = await judge(config);
  if (isUnwritten(config, claimed)) {
    // Nothing was ever acknowledged: what a start that failed left in the cache is worth nothing.
    await seedFromGenesis(config, deps.logger, "the volume is new");
    return true;
  }
  if (verdict.kind !== "writer" || claimed.timeline === undefined) {
    deps.logger.warn({ event: "cache.notKept", verdict: verdict.kind, reason: verdict.reason });
    return false;
  }
  if (await hasLaterTimeline(config, claimed.timeline)) {
    deps.logger.warn({ event: "cache.notKept", verdict: "branched", timeline: claimed.timeline });
    return false;
  }
  const reader = new VolumeReader({
    nodes: nodesNearestFirst(config),
    owner: linkOwner(config),
    clock: deps.clock,
  });
  try {
    const found = await compareLocalWal({
      pgWalDir: `${dataDirOf(config.instanceDir)}/pg_wal`,
      timeline: claimed.timeline,
      from: claimed.start,
      to: claimed.start,
      base: claimed.low,
      readVolume: (from, to) => reader.read({ path: claimed.history, from, to }),
    });
    deps.logger.info({ event: "localLog.compared", result: found.kind });
    return found.kind === "equal";
  } finally {
    reader.close();
  }
}

export function isUnwritten(
  { genesisLsn }: Pick<AgentConfig, "genesisLsn">,
  { history, start }: Pick<Claimed, "history" | "start">,
): boolean {
  return history.length === 0 || start === parseLsn(genesisLsn);
}
