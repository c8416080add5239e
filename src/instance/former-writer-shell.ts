import { type Timeline } from "../base/ids.ts";
import { advance, type Lsn, lsnMaxOf, lsnMin, lsnZero, parseLsn } from "../base/lsn.ts";
import { dataDirOf } from "../engine/index.ts";
import { sleep } from "../io/index.ts";
import { compareLocalWal, type LocalWal, type LogFeed, VolumeReader } from "../log-driver/index.ts";
import { type History, timelineSpans } from "../quorum/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import { newestLocalTimeline } from "./history-shell.ts";
import type { AgentConfig } from "./messages.ts";
import { linkOwner, nodesNearestFirst } from "./nodes.ts";

/** Of the log before the branch; what went wrong went wrong at its end. */
const comparedBytes = 64 * 1024 * 1024;
const againMs = 250;
/** Comparing costs the nodes and this host work just when a new writer claims: it waits for its epoch, but not for ever. */
const quietMs = 5_000;
/** How long a cache waits for the epoch that decides over its last bytes. */
const patienceMs = 60_000;

export type FormerWriter =
  /** Its log is this path's. */
  | { readonly kind: "keep"; readonly path: History }
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
    const isEarly = clock.nowMs() - startMs < quietMs;
    const found = await judge(judged, { vdl, path }, isEarly);
    if (found !== "undecided") {
      const { kind: result } = found;
      const why = found.kind === "rebuild" ? { reason: found.reason } : {};
      logger.info({ event: "localLog.compared", result, ...why });
      return found;
    }
    if (signal.aborted) throw signal.reason;
    if (clock.nowMs() - startMs > patienceMs) {
      return { kind: "rebuild", reason: "nobody has decided over the end of its log" };
    }
    await sleep(clock, againMs, signal);
  }
}

async function judge(
  judged: Judged,
  volume: { readonly vdl: Lsn; readonly path: History },
  isEarly: boolean,
): Promise<FormerWriter | "undecided"> {
  const timeline = await newestLocalTimeline(judged.config);
  const spans = timelineSpans(volume.path);
  const index = spans.findLastIndex((span) => span.timeline === timeline);
  const span = spans[index];
  if (timeline === undefined || !span) {
    return { kind: "rebuild", reason: "the volume has not got its timeline" };
  }
  const next = spans[index + 1];
  const branch = next && next.start <= volume.vdl ? next.start : undefined;
  if (branch === undefined && isEarly) return "undecided";
  const to = branch ?? volume.vdl;
  const found = await compare(judged, { timeline, from: span.start, to, path: volume.path });
  if (found.kind === "different") return { kind: "rebuild", reason: "its log has diverged" };
  if (found.kind === "shorter") return { kind: "rebuild", reason: "its log has lost its end" };
  if (found.end === to) return { kind: "keep", path: volume.path };
  if (branch === undefined) return "undecided";
  return { kind: "rebuild", reason: "its log goes on where the volume's has branched off" };
}

async function compare(
  { config, deps }: Judged,
  log: {
    readonly timeline: Timeline;
    readonly from: Lsn;
    readonly to: Lsn;
    readonly path: History;
  },
): Promise<LocalWal> {
  const { timeline, to, path } = log;
  const reader = new VolumeReader({
    nodes: nodesNearestFirst(config),
    owner: linkOwner(config),
    clock: deps.clock,
  });
  try {
    const back = to > BigInt(comparedBytes) ? advance(to, -comparedBytes) : lsnZero;
    return await compareLocalWal({
      pgWalDir: `${dataDirOf(config.instanceDir)}/pg_wal`,
      timeline,
      from: lsnMin(to, lsnMaxOf(log.from, back)),
      to,
      base: parseLsn(config.genesisLsn),
      readVolume: (from, end) => reader.read({ path, from, to: end }),
    });
  } finally {
    reader.close();
  }
}
