import { type Epoch, epoch } from "../base/ids.ts";
import { realDisk } from "../io/index.ts";
import { releaseEpoch } from "../log-driver/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import type { AgentConfig } from "./messages.ts";
import { linkOwner, volumeNodes } from "./nodes.ts";
import { makePostgres } from "./postgres-shell.ts";

/** Longer than the longest lease that can be set. */
const patienceMs = 10_000;

/**
 * Which epoch this instance owned last, kept beside its cache: an agent that finds the processes of a former life gone
 * may end that life's lease (decisions.md D6), so that nobody waits for it. Lost, it costs a wait and nothing else.
 */
function fileOf(config: AgentConfig): string {
  return `${config.instanceDir}/borealis-epoch.json`;
}

/** Before the epoch opens: no lease of it is out yet. */
export async function noteOwnedEpoch(config: AgentConfig, owned: Epoch): Promise<void> {
  const bytes = Buffer.from(`${JSON.stringify({ volumeId: config.volumeId, epoch: owned })}\n`);
  await realDisk.remove(fileOf(config));
  const file = await realDisk.open(fileOf(config), "create");
  try {
    await file.write(bytes, 0);
  } finally {
    await file.close();
  }
}

/**
 * Only when every process of this instance's PostgreSQL is gone, and before another may be noted here: the epoch is known
 * when this resolves, so that it is never the next one that is released. The nodes are told from then on, for as long
 * as some are away.
 */
export async function releaseOwnedEpoch(
  config: AgentConfig,
  deps: AgentDeps,
  signal: AbortSignal,
): Promise<void> {
  const owned = await findOwnedEpoch(config);
  if (owned === undefined) return;
  deps.logger.info({ event: "epoch.released", epoch: owned });
  const owner = linkOwner(config);
  const nodes = volumeNodes(config);
  void releaseEpoch({ nodes, owner, epoch: owned, clock: deps.clock, patienceMs, signal });
}

/**
 * An agent that died left a lease behind. Once nothing of its PostgreSQL lives it is ended, so that a claim, this
 * instance's or another's, need not wait for it (decisions.md D6).
 */
export async function endFormerLife(
  config: AgentConfig,
  deps: AgentDeps,
  signal: AbortSignal,
): Promise<void> {
  await makePostgres(config, deps, { onBroke: () => undefined }).clearOrphans();
  await releaseOwnedEpoch(config, deps, signal);
}

async function findOwnedEpoch(config: AgentConfig): Promise<Epoch | undefined> {
  try {
    const bytes = await realDisk.readWhole(fileOf(config));
    const value: unknown = JSON.parse(bytes?.toString("utf8") ?? "");
    if (typeof value !== "object" || value === null) return undefined;
    const { volumeId: of, epoch: owned } = value as Record<string, unknown>; // an object; checked below
    const isOurs = of === config.volumeId && typeof owned === "number" && Number.isInteger(owned);
    return isOurs ? epoch(owned) : undefined;
  } catch {
    // Half a file, or none: then leases end by themselves.
    return undefined;
  }
}
