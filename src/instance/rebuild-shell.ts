import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import { formatLsn, type Lsn, parseLsn } from "../base/lsn.ts";
import { hydrateFromBackup, isOwnDiskFull, socketPort } from "../engine/index.ts";
import { sleep } from "../io/index.ts";
import { inspectVolume, type OwnLog } from "../log-driver/index.ts";
import type { SnapshotWish } from "../volume/index.ts";
import type { BaseBackup } from "../wire/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import { seedFromGenesis } from "./cache-shell.ts";
import type { FoundSnapshot, HydrationResult } from "./hydration-messages.ts";
import { hydrateInThread } from "./hydration-shell.ts";
import type { AgentConfig, BackupSource } from "./messages.ts";
import { fullNodes, linkOwner, nodesNearestFirst } from "./nodes.ts";

/**
 * Replaying less than this takes a few seconds (some 200 MB/s were measured), and asks nothing of a live instance, which a
 * copy does: it may be a client's only reader.
 */
const shortLogBytes = 1536 * 1024 * 1024;
const askTimeoutMs = 1_000;
const againMs = 250;

export interface Rebuild {
  readonly config: AgentConfig;
  readonly deps: AgentDeps;
  readonly sources: readonly BackupSource[];
  /** Why, for the log. */
  readonly reason: string;
  /** How long to look for an instance that can be copied, where that is what is wanted. */
  readonly patienceMs: number;
  /** What the cache shall be replayed to, where that is decided; undefined: as the nodes show it. */
  readonly wish: SnapshotWish | undefined;
  /** Settles when the volume has the log up to the backup's end; raises if the copy holds what the volume has not. */
  readonly untilUsable: (backup: BaseBackup) => Promise<void>;
  readonly signal: AbortSignal;
}

interface Aim {
  readonly wish: SnapshotWish;
  readonly end: Lsn;
}

/** What one way to build a cache has ended in: it is why that way did not lead to one. */
interface Failed {
  readonly kind: "failed";
  readonly error: unknown;
}
type Hydrated = HydrationResult | Failed;
type Copied = { readonly kind: "done"; readonly backup: BaseBackup } | Failed;

/** There is nothing to build from, and it stays so: every store has answered, and no snapshot in any of them serves. */
export class NothingServes extends BorealisError {
  override readonly name = "NothingServes";
}

/**
 * Builds the cache anew: from the newest snapshot, from whose start the log is replayed; if that is far back, by a base
 * backup from a live instance (D35); if there is no snapshot at all, from the genesis image and the whole log. The volume is
 * the truth in each case. Gives what log is in it now; undefined: nobody says of which path. Raises 53100 when the disk is
 * full, at once, since no other way needs less; else what stood in the way, 58030 when there is nothing to build from: as
 * NothingServes where it does not help to try again.
 */
export async function rebuildCache(rebuild: Rebuild): Promise<OwnLog | undefined> {
  const { config, deps, reason, sources } = rebuild;
  const aim = await aimOf(rebuild);
  if (!aim) {
    const only = await copyFromSomebody(rebuild);
    if (only?.kind !== "done") await seedFromGenesis(config, deps.logger, reason);
    return undefined;
  }
  const { path, base } = aim.wish;
  const first = await hydrate(rebuild, aim, sources.length > 0 ? shortLogBytes : Infinity);
  if (first.kind === "done") return { path, end: first.endLsn };
  const copy = await copyFromSomebody(rebuild);
  if (copy?.kind === "done") return { path, end: copy.backup.endLsn };
  const last = first.kind === "far" ? await hydrate(rebuild, aim, Infinity) : first;
  if (last.kind === "done") return { path, end: last.endLsn };
  if (base > parseLsn(config.genesisLsn)) throw nothingToBuildFrom(config, [last, copy]);
  await seedFromGenesis(config, deps.logger, reason);
  return { path, end: undefined };
}

/** Undefined: no node answers. */
async function aimOf({ config, deps, wish, signal }: Rebuild): Promise<Aim | undefined> {
  if (wish) return { wish, end: wish.at ?? wish.base };
  const bounds = { clock: deps.clock, timeoutMs: askTimeoutMs, signal };
  const sight = await inspectVolume(nodesNearestFirst(config), linkOwner(config), bounds);
  if (!sight) return undefined;
  const { path, base, end } = sight;
  // A snapshot exists only since the volume has the log up to its end.
  return { wish: { path, base, at: undefined }, end };
}

/** From a snapshot with little log behind it. Undefined: there is none, or it was tried and did not work. Raises as hydrate. */
export async function hydrateNearest(
  rebuild: Pick<Rebuild, "config" | "deps" | "reason" | "signal">,
  wish: SnapshotWish,
  end: Lsn,
): Promise<FoundSnapshot | undefined> {
  const result = await hydrate(rebuild, { wish, end }, shortLogBytes);
  return result.kind === "done" ? result : undefined;
}

/** Raises 53100 when the disk is full. */
async function hydrate(
  { config, deps, reason, signal }: Pick<Rebuild, "config" | "deps" | "reason" | "signal">,
  { wish, end }: Aim,
  replayBytesMax: number,
): Promise<Hydrated> {
  const { clock, logger } = deps;
  const { instance, objectStoreUrl, objectStoreEnv, dataKeys, instanceDir } = config;
  const startMs = clock.nowMs();
  try {
    const osUser = config.osUser ?? undefined;
    const places = { objectStoreUrl, objectStoreEnv, nodes: fullNodes(config) };
    const { addressVolumeId } = config;
    const stores = { ...places, owner: linkOwner(config), addressVolumeId };
    const order = { ...stores, dataKeys, instanceDir, osUser };
    const result = await hydrateInThread(
      { ...order, wish, end, replayBytesMax },
      {
        clock,
        logger,
        onProgress: (doneBytes, totalBytes) =>
          deps.onBuilding?.({ step: "unpacking a snapshot", doneBytes, totalBytes }),
        onUnreadable: deps.onUnreadable,
        signal,
      },
    );
    if (result.kind === "done") {
      const { kind: _, history: __, figures, ...found } = result;
      const tookMs = Math.round(clock.nowMs() - startMs);
      logger.info({ event: "cache.hydrated", instance, reason, ...found, ...figures, tookMs });
      return result;
    }
    const { kind } = result;
    const told =
      kind === "far" ? { snapshot: result.snapshot, replayBytes: result.replayBytes } : {};
    logger.info({ event: "cache.notHydrated", instance, kind, ...told });
    return result;
  } catch (error) {
    if (signal.aborted) throw signal.reason;
    logger.warn({ event: "cache.notHydrated", instance }, messageOf(error));
    if (isDiskFull(error)) throw error;
    return { kind: "failed", error };
  } finally {
    deps.onBuilding?.(undefined);
  }
}

/** Undefined: there is nobody. Raises 53100 when the disk is full. */
async function copyFromSomebody(rebuild: Rebuild): Promise<Copied | undefined> {
  const { deps, sources, patienceMs, signal } = rebuild;
  const { clock } = deps;
  const startMs = clock.nowMs();
  for (;;) {
    let last: Copied | undefined;
    for (const source of sources) {
      if (signal.aborted) throw signal.reason;
      last = await copyFrom(source, rebuild);
      if (last.kind === "done") return last;
    }
    if (clock.nowMs() - startMs >= patienceMs) return last;
    await sleep(clock, againMs, signal);
  }
}

async function copyFrom(source: BackupSource, rebuild: Rebuild): Promise<Copied> {
  const { config, deps, reason, untilUsable, signal } = rebuild;
  const { clock, logger } = deps;
  const facts = { instance: config.instance, from: source.id };
  const startMs = clock.nowMs();
  try {
    const backup = await hydrateFromBackup({
      source: { socketDir: source.socketDir, port: socketPort, major: config.engine.major },
      instanceDir: config.instanceDir,
      volumeId: volumeId(config.volumeId),
      osUser: config.osUser ?? undefined,
      untilUsable,
      onProgress: (doneBytes, totalBytes) =>
        deps.onBuilding?.({
          step: `copying ${source.id}`,
          doneBytes,
          totalBytes: totalBytes ?? null,
        }),
      signal,
    });
    const { startLsn, endLsn } = backup;
    const tookMs = Math.round(clock.nowMs() - startMs);
    logger.info({ event: "cache.copied", ...facts, reason, startLsn, endLsn, tookMs });
    return { kind: "done", backup };
  } catch (error) {
    if (signal.aborted) throw error;
    logger.info({ event: "cache.notCopied", ...facts }, messageOf(error));
    if (isOwnDiskFull(error)) throw error;
    return { kind: "failed", error };
  }
}

/** Why a copy cannot be used: the log that it holds has been left behind. */
export function beyondTheVolume(backup: BaseBackup): BorealisError {
  const why = `the copy reaches ${formatLsn(backup.endLsn)}, which the volume has not`;
  return new BorealisError(sqlState.notInPrerequisiteState, why);
}

function isDiskFull(error: unknown): boolean {
  return error instanceof BorealisError && error.code === sqlState.diskFull;
}

/** With what the ways that were tried have ended in: the first failure among them is the reason. */
function nothingToBuildFrom(
  { instance, objectStoreUrl }: AgentConfig,
  tried: readonly (Hydrated | Copied | undefined)[],
): BorealisError {
  const why = `no snapshot can be used to build the cache of ${instance}, and the log since the volume's birth is gone`;
  const look = `see what is wrong with ${objectStoreUrl}, and borealis logs ${instance}`;
  const failed = tried.find((one) => one?.kind === "failed");
  if (!failed) return new NothingServes(sqlState.ioError, why, { hint: look });
  const { error: cause } = failed;
  const known = cause instanceof BorealisError ? cause : undefined;
  const { code = sqlState.ioError, hint = look } = known ?? {};
  const told = `${why}: ${messageOf(cause)}`;
  // Damaged in every store, of which each has answered: Replicas tell of one that does not before they tell of damage.
  if (code === sqlState.dataCorrupted) return new NothingServes(code, told, { hint, cause });
  return new BorealisError(code, told, { hint, cause });
}
