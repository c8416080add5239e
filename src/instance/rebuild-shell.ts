import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { volumeId } from "../base/ids.ts";
import { formatLsn, type Lsn, lsnMaxOf, lsnZero, parseLsn } from "../base/lsn.ts";
import { hydrateFromBackup, socketPort } from "../engine/index.ts";
import { sleep } from "../io/index.ts";
import { inspectNode } from "../log-driver/index.ts";
import type { BaseBackup } from "../wire/index.ts";
import type { AgentDeps } from "./agent-shell.ts";
import { seedFromGenesis } from "./cache-shell.ts";
import type { AgentConfig, BackupSource } from "./messages.ts";
import { linkOwner, nodesNearestFirst } from "./nodes.ts";

/** Replaying less than this takes about as long as a backup, and asks nothing of a live instance. */
const shortLogBytes = 256n * 1024n * 1024n;
const askTimeoutMs = 700;
const againMs = 250;

export interface Rebuild {
  readonly config: AgentConfig;
  readonly deps: AgentDeps;
  readonly sources: readonly BackupSource[];
  /** Why, for the log. */
  readonly reason: string;
  /** How long to look for an instance that can be copied. */
  readonly patienceMs: number;
  /** True: the genesis image is as good as long as there is little log to replay over it. */
  readonly prefersGenesis: boolean;
  /** Settles when the volume has the log up to the backup's end; raises if the copy holds what the volume has not. */
  readonly untilUsable: (backup: BaseBackup) => Promise<void>;
  readonly signal: AbortSignal;
}

/**
 * Builds the cache anew: by a base backup from a live instance (D35), else from the genesis image and the whole log.
 * The volume is the truth in both cases; the backup only saves the replay.
 */
export async function rebuildCache(rebuild: Rebuild): Promise<void> {
  const { config, deps, reason, prefersGenesis } = rebuild;
  const mayCopy = !prefersGenesis || (await isLogLong(config, deps));
  if (mayCopy && (await copyFromSomebody(rebuild))) return;
  await seedFromGenesis(config, deps.logger, reason);
}

async function copyFromSomebody(rebuild: Rebuild): Promise<boolean> {
  const { deps, sources, patienceMs, signal } = rebuild;
  const { clock } = deps;
  const startMs = clock.nowMs();
  for (;;) {
    for (const source of sources) {
      if (signal.aborted) throw signal.reason;
      if (await copyFrom(source, rebuild)) return true;
    }
    if (clock.nowMs() - startMs >= patienceMs) return false;
    await sleep(clock, againMs, signal);
  }
}

async function copyFrom(source: BackupSource, rebuild: Rebuild): Promise<boolean> {
  const { config, deps, reason, untilUsable, signal } = rebuild;
  const { clock, logger } = deps;
  const facts = { instance: config.instance, from: source.id };
  const startMs = clock.nowMs();
  try {
    const backup = await hydrateFromBackup({
      source: { socketDir: source.socketDir, port: socketPort },
      instanceDir: config.instanceDir,
      volumeId: volumeId(config.volumeId),
      osUser: config.osUser ?? undefined,
      untilUsable,
      signal,
    });
    const { startLsn, endLsn } = backup;
    const tookMs = Math.round(clock.nowMs() - startMs);
    logger.info({ event: "cache.copied", ...facts, reason, startLsn, endLsn, tookMs });
    return true;
  } catch (error) {
    if (signal.aborted) throw error;
    logger.info({ event: "cache.notCopied", ...facts }, messageOf(error));
    return false;
  }
}

/** How much log there is, as far as nodes answer at once. */
async function isLogLong(config: AgentConfig, deps: AgentDeps): Promise<boolean> {
  const owner = linkOwner(config);
  const states = await Promise.all(
    nodesNearestFirst(config).map((node) =>
      inspectNode(node, owner, { clock: deps.clock, timeoutMs: askTimeoutMs }),
    ),
  );
  const end = states.reduce((most: Lsn, state) => lsnMaxOf(most, state?.scl ?? lsnZero), lsnZero);
  return end - parseLsn(config.genesisLsn) > shortLogBytes;
}

/** Why a copy cannot be used: the log that it holds has been left behind. */
export function beyondTheVolume(backup: BaseBackup): BorealisError {
  const why = `the copy reaches ${formatLsn(backup.endLsn)}, which the volume has not`;
  return new BorealisError(sqlState.notInPrerequisiteState, why);
}
