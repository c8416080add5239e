import { volumeId } from "../base/ids.ts";
import { advance, type Lsn, lsnMaxOf, lsnMin, lsnZero, parseLsn } from "../base/lsn.ts";
import { dataDirOf } from "../engine/index.ts";
import { sleep } from "../io/index.ts";
import { compareLocalWal, type LogFeed, VolumeReader } from "../log-driver/index.ts";
import { type History, timelineSpans } from "../quorum/index.ts";
import type { AgentDeps } from "./agent-shell.ts";
import { newestLocalTimeline } from "./history-shell.ts";
import type { AgentConfig } from "./messages.ts";
import { nodesNearestFirst } from "./nodes.ts";

/** Of the log before the branch; what went wrong went wrong at its end. */
const comparedBytes = 64 * 1024 * 1024;
const againMs = 100;
/** How long a cache waits for the epoch that decides over its last bytes. */
const patienceMs = 60_000;

export type FormerWriter =
  | { readonly kind: "keep" }
  | { readonly kind: "rebuild"; readonly reason: string };

interface Judged {
  readonly config: AgentConfig;
  readonly deps: AgentDeps;
}

/**
 * Whether a former writer's cache may be read on from. PostgreSQL writes pages as soon as its *local* log is flushed,
 * and replay passes over pages that are newer than the log, so one byte beyond the branch makes the cache worthless
 * (2,684 of 20,000 rows were lost without an error when it was tried). It is kept only if its log is the volume's up to
 * where the volume left its timeline, and holds nothing beyond. While no newer epoch is open, its last bytes may still
 * become the volume's: then it waits.
 */
export async function judgeFormerWriter(
  judged: Judged,
  feed: Pick<LogFeed, "inspect">,
  signal: AbortSignal,
): Promise<FormerWriter> {
  const { clock, logger } = judged.deps;
  const startMs = clock.nowMs();
  for (;;) {
    const { vdl, path } = await feed.inspect();
    const found = await compare(judged, { vdl, path });
    if (found !== "undecided") {
      logger.info({ event: "localLog.compared", result: found.kind, ...found });
      return found;
    }
    if (signal.aborted) throw signal.reason;
    if (clock.nowMs() - startMs > patienceMs) {
      return { kind: "rebuild", reason: "nobody has decided over the end of its log" };
    }
    await sleep(clock, againMs, signal);
  }
}

async function compare(
  { config, deps }: Judged,
  volume: { readonly vdl: Lsn; readonly path: History },
): Promise<FormerWriter | "undecided"> {
  const timeline = await newestLocalTimeline(config);
  const spans = timelineSpans(volume.path);
  const index = spans.findLastIndex((span) => span.timeline === timeline);
  const span = spans[index];
  if (timeline === undefined || !span) {
    return { kind: "rebuild", reason: "the volume has not got its timeline" };
  }
  const next = spans[index + 1];
  const branch = next && next.start <= volume.vdl ? next.start : undefined;
  const to = branch ?? volume.vdl;
  const reader = new VolumeReader({
    nodes: nodesNearestFirst(config),
    owner: { volumeId: volumeId(config.volumeId), sender: config.instance },
    clock: deps.clock,
  });
  try {
    const back = to > BigInt(comparedBytes) ? advance(to, -comparedBytes) : lsnZero;
    const found = await compareLocalWal({
      pgWalDir: `${dataDirOf(config.instanceDir)}/pg_wal`,
      timeline,
      from: lsnMin(to, lsnMaxOf(span.start, back)),
      to,
      base: parseLsn(config.genesisLsn),
      readVolume: (from, end) => reader.read({ path: volume.path, from, to: end }),
    });
    if (found.kind === "different") return { kind: "rebuild", reason: "its log has diverged" };
    if (found.kind === "shorter") return { kind: "rebuild", reason: "its log has lost its end" };
    if (found.end === to) return { kind: "keep" };
    if (branch === undefined) return "undecided";
    return { kind: "rebuild", reason: "its log goes on where the volume's has branched off" };
  } finally {
    reader.close();
  }
}
