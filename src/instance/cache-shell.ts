import { BorealisError, sqlState } from "../base/errors.ts";
import { type Timeline, volumeId } from "../base/ids.ts";
import {
  dataDirOf,
  judgeCache,
  readControlFile,
  seedInstance,
  unstampCache,
} from "../engine/index.ts";
import { type Logger, realDisk, systemCodeOf } from "../io/index.ts";
import type { AgentConfig } from "./messages.ts";

/** What a cache was last used for; only that decides what it may become. */
export type CacheKind =
  | { readonly kind: "reader"; readonly reason: string }
  | { readonly kind: "writer"; readonly reason: string }
  | { readonly kind: "none"; readonly reason: string };

/**
 * A reader's cache holds nothing beyond VDL, so it may always be read on from. A former writer's may hold what the
 * volume does not: it counts only where its log has been compared.
 */
export async function judge(config: AgentConfig): Promise<CacheKind> {
  const verdict = await judgeCache(
    config.instanceDir,
    volumeId(config.volumeId),
    config.osUser ?? undefined,
  );
  if (verdict.kind === "absent") return { kind: "none", reason: "there is none" };
  if (verdict.kind === "unusable") return { kind: "none", reason: verdict.reason };
  const isStandby =
    (await realDisk.factsOf(`${dataDirOf(config.instanceDir)}/standby.signal`)) !== undefined;
  return isStandby
    ? { kind: "reader", reason: "a reader's" }
    : { kind: "writer", reason: "a writer's" };
}

export async function seedFromGenesis(
  config: AgentConfig,
  logger: Logger,
  reason: string,
): Promise<void> {
  logger.info({ event: "cache.seeded", instance: config.instance, reason });
  await seedInstance({
    genesisDir: config.genesisDir,
    instanceDir: config.instanceDir,
    osUser: config.osUser ?? undefined,
    volumeId: volumeId(config.volumeId),
  });
}

/**
 * The timeline that the cache is on, of its pg_control. Where that is gone or damaged (ENOENT, XX001), PostgreSQL could not start
 * either, and the next start builds the cache again.
 */
export async function timelineOfCache({
  instanceDir,
}: Pick<AgentConfig, "instanceDir">): Promise<Timeline> {
  try {
    return (await readControlFile(dataDirOf(instanceDir))).timeline;
  } catch (error) {
    const isDamaged = error instanceof BorealisError && error.code === sqlState.dataCorrupted;
    if (isDamaged || systemCodeOf(error) === "ENOENT") await unstampCache(instanceDir);
    throw error;
  }
}

/**
 * Whether the cache's own log goes on beyond `timeline`: it was promoted onto a branch that the volume does not have,
 * because that epoch ended before anything of it was written.
 */
export async function hasLaterTimeline(config: AgentConfig, timeline: number): Promise<boolean> {
  const names = await realDisk.list(`${dataDirOf(config.instanceDir)}/pg_wal`);
  return names.some(
    (name) =>
      /^[0-9A-F]{8}([0-9A-F]{16}|\.history)/.test(name) &&
      Number.parseInt(name.slice(0, 8), 16) > timeline,
  );
}
