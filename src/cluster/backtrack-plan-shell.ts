import { parseAddress } from "../base/address.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { nodeId, type VolumeId } from "../base/ids.ts";
import { formatLsn, type Lsn, lsnMaxOf, lsnZero, parseLsn } from "../base/lsn.ts";
import type { Clock, ClusterCredential } from "../io/index.ts";
import { parsePath, toPathText, type VolumeNodes } from "../instance/index.ts";
import { volumeLog, VolumeReader } from "../log-driver/index.ts";
import { type History, isOnPath, type State } from "../quorum/index.ts";
import { findFirstCommit, findMoment, type LogSource, walkToEnd } from "../volume/index.ts";
import type { CommitSpan, Moment, MomentTarget } from "../wal/index.ts";
import {
  forkOf,
  formatMicros,
  inTheFuture,
  type LeftPath,
  noSnapshot,
  nothingToUndo,
  outsideWindow,
  pathOf,
} from "./backtrack.ts";
import type { BacktrackReport } from "./messages.ts";
import type { AbandonedFuture, BacktrackState } from "./state.ts";

/** What a plan is made from: the volume as its open writer has it. */
export interface PlanFacts {
  readonly clock: Clock;
  readonly volumeId: VolumeId;
  readonly credential: ClusterCredential | undefined;
  readonly nodes: VolumeNodes;
  /** Of every node that answers. */
  readonly states: readonly State[];
  readonly writer: { readonly epoch: number; readonly vdl: Lsn };
  readonly abandoned: readonly AbandonedFuture[];
  /** Whether a cache can be built as it was at `to`, from log that begins at `logFrom`. */
  readonly hasCacheFor: (to: Lsn, logFrom: Lsn) => boolean;
  /** Commits before it are not the cluster's, but of its making. */
  readonly createdAtUs: bigint;
  /** Names the job. */
  readonly askedAtMs: number;
  readonly signal: AbortSignal;
  readonly onProgress: (readBytes: number, totalBytes: number) => void;
}

export interface BacktrackPlan {
  readonly state: BacktrackState;
  readonly report: BacktrackReport;
}

/** Reads a path's log, as far as nodes have it. */
export class PathLog {
  private readonly reader: VolumeReader;
  constructor(facts: Pick<PlanFacts, "clock" | "volumeId" | "credential" | "nodes" | "signal">) {
    const { clock, volumeId, credential, signal } = facts;
    const nodes = facts.nodes
      .filter(({ isMember }) => isMember)
      .map(({ name, nodeId: id, address }) => {
        return { name, nodeId: nodeId(id), address: parseAddress(address) };
      });
    const owner = { volumeId, sender: "control-plane", ...(credential ? { credential } : {}) };
    this.reader = new VolumeReader({ nodes, owner, clock, signal });
  }
  of(path: History): LogSource {
    return volumeLog(this.reader, path);
  }
  close(): void {
    this.reader.close();
  }
}

/** Raises what speaks against it: 22023 or 55000, in words for whoever asked; 58030 if log cannot be read. */
export async function planBacktrack(
  facts: PlanFacts,
  target: MomentTarget,
): Promise<BacktrackPlan> {
  const { clock } = facts;
  const nowUs = BigInt(clock.wallMs()) * 1000n;
  if (target.kind === "time" && target.timeUs > nowUs) throw inTheFuture(target);
  const log = new PathLog(facts);
  try {
    return await new Planning(facts, target, log).run();
  } finally {
    log.close();
  }
}

class Planning {
  private readonly facts: PlanFacts;
  private readonly target: MomentTarget;
  private readonly log: PathLog;
  private readonly present: History;
  private readonly left: readonly LeftPath[];
  /** Log below is gone, or may be gone. */
  private readonly lowest: Lsn;

  constructor(facts: PlanFacts, target: MomentTarget, log: PathLog) {
    this.facts = facts;
    this.target = target;
    this.log = log;
    const inEpoch = facts.states.filter(({ accepted }) => accepted === facts.writer.epoch);
    const history = inEpoch[0]?.history;
    if (!history) {
      const why = "no storage node that knows the writer's epoch answers";
      throw new BorealisError(sqlState.cannotConnectNow, why, { hint: "try again in a moment" });
    }
    this.present = history;
    this.left = facts.abandoned.map(({ path, fork, end, leftAtMs }) => {
      return { path: parsePath(path), fork: parseLsn(fork), end: parseLsn(end), leftAtMs };
    });
    this.lowest = inEpoch.reduce(
      (most: Lsn, { base, floor }) => lsnMaxOf(most, lsnMaxOf(base, floor)),
      lsnZero,
    );
  }

  async run(): Promise<BacktrackPlan> {
    const { facts, target, present, log } = this;
    const { vdl } = facts.writer;
    const on = pathOf(target, { path: present, end: vdl }, this.left);
    const search = { from: this.lowest, to: on.end, signal: facts.signal };
    const moment = await findMoment({
      ...search,
      target,
      log: log.of(on.path),
      isCounted: !on.isAbandoned,
      onProgress: facts.onProgress,
    });
    const window = await this.window();
    if (!moment || !this.isReachable(moment)) throw outsideWindow(target, window);
    if (!on.isAbandoned) {
      if (!moment.after) throw nothingToUndo(target);
      return this.plan(moment, { window, undone: moment.after, to: moment.endLsn });
    }
    const { endLsn: at } = moment;
    const range = { from: this.lowest, at };
    const isShared = isOnPath(on.path, present, range);
    const to = isShared ? at : forkOf(present, on.path, range);
    const undone = (await walkToEnd(log.of(present), to, facts.signal)).commits;
    if (isShared && !undone) throw nothingToUndo(target);
    const refill = isShared ? undefined : { path: on.path, to: at };
    return this.plan(moment, { window, undone, to, refill });
  }

  private isReachable(moment: Moment): boolean {
    const { createdAtUs } = this.facts;
    const { endLsn, lastCommit } = moment;
    if (endLsn < this.lowest) return false;
    return lastCommit !== undefined && lastCommit.timeUs >= createdAtUs;
  }

  private async window(): Promise<BacktrackReport["window"]> {
    const { facts, lowest } = this;
    const { clock, writer, createdAtUs, signal } = facts;
    const search = { log: this.log.of(this.present), from: lowest, to: writer.vdl, signal };
    const first = await findFirstCommit({ ...search, sinceUs: createdAtUs });
    const to = formatMicros(BigInt(clock.wallMs()) * 1000n);
    return { from: first ? formatMicros(first.timeUs) : to, to };
  }

  private plan(
    moment: Moment,
    found: {
      readonly window: BacktrackReport["window"];
      readonly undone: CommitSpan | undefined;
      readonly to: Lsn;
      readonly refill?: { readonly path: History; readonly to: Lsn } | undefined;
    },
  ): BacktrackPlan {
    const { facts, present, lowest, target } = this;
    const { refill, to, undone, window } = found;
    if (!facts.hasCacheFor(to, lowest)) throw noSnapshot(target);
    const lastCommitUs = moment.lastCommit?.timeUs ?? 0n;
    const state: BacktrackState = {
      order: {
        to: formatLsn(to),
        refill: refill ? { path: toPathText(refill.path), to: formatLsn(refill.to) } : null,
        sinceEpoch: facts.writer.epoch,
      },
      left: toPathText(present),
      leftEnd: formatLsn(facts.writer.vdl),
      lastCommitUs: String(lastCommitUs),
      undone: undone ? spanText(undone) : null,
      askedAtMs: facts.askedAtMs,
    };
    return { state, report: reportOf(state, window) };
  }
}

export function spanText(span: CommitSpan): NonNullable<BacktrackState["undone"]> {
  const { commits, earliestUs, latestUs } = span;
  return { commits, earliestUs: String(earliestUs), latestUs: String(latestUs) };
}

/** As long as nothing is done. */
export function reportOf(
  { order, lastCommitUs, undone }: BacktrackState,
  window: BacktrackReport["window"],
): BacktrackReport {
  const timeOf = (us: string | undefined): string | null =>
    us === undefined ? null : formatMicros(BigInt(us));
  return {
    to: {
      lsn: order.refill?.to ?? order.to,
      lastCommit: formatMicros(BigInt(lastCommitUs)),
    },
    isReturn: order.refill !== null,
    undone: {
      transactions: undone?.commits ?? 0,
      from: timeOf(undone?.earliestUs),
      to: timeOf(undone?.latestUs),
    },
    window,
    done: null,
  };
}
