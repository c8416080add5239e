import { parseAddress } from "../base/address.ts";
import { assert } from "../base/assert.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { nodeId, type VolumeId } from "../base/ids.ts";
import { formatLsn, type Lsn, lsnMaxOf, lsnZero, parseLsn, segmentStart } from "../base/lsn.ts";
import type { Clock, ClusterCredential } from "../io/index.ts";
import { parsePath, toPathText, type VolumeNodes } from "../instance/index.ts";
import { WideVolumeLog } from "../log-driver/index.ts";
import { type History, isOnPath, type State } from "../quorum/index.ts";
import {
  countCommits,
  findFirstCommit,
  findMoment,
  type LeftFuture,
  type LogSource,
} from "../volume/index.ts";
import type { CommitSpan, Moment, MomentTarget } from "../wal/index.ts";
import {
  forkOf,
  formatMicros,
  type GonePath,
  goneOf,
  inTheFuture,
  isGone,
  leftFutures,
  type LeftPath,
  noSnapshot,
  notCounted,
  nothingToUndo,
  outsideWindow,
  pathsOf,
  type PathToSearch,
  undoneOf,
  pathIn,
} from "./backtrack.ts";
import type { Durable } from "./durable.ts";
import type { BacktrackReport } from "./messages.ts";
import type { AbandonedFuture, BacktrackState, ExpiredFuture } from "./state.ts";

/** What a plan is made from: the volume as its open writer has it. */
export interface PlanFacts {
  readonly clock: Clock;
  readonly volumeId: VolumeId;
  readonly credential: ClusterCredential | undefined;
  readonly nodes: VolumeNodes;
  /** Of every node that answers. */
  readonly states: readonly State[];
  readonly writer: Durable;
  readonly abandoned: AbandonedFuture[];
  readonly expired: ExpiredFuture[];
  /** As SnapshotDesk.reach. */
  readonly snapshotReach: (path: History, base: Lsn) => Promise<Lsn | undefined>;
  /** The genesis image leads from here on, as long as all log is there. */
  readonly genesisLsn: Lsn;
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
  private readonly log: WideVolumeLog;
  constructor(facts: Pick<PlanFacts, "clock" | "volumeId" | "credential" | "nodes" | "signal">) {
    const { clock, volumeId, credential, signal } = facts;
    const nodes = facts.nodes
      .filter(({ isMember }) => isMember)
      .map(({ name, nodeId: id, address }) => {
        return { name, nodeId: nodeId(id), address: parseAddress(address) };
      });
    const owner = { volumeId, sender: "control-plane", ...(credential ? { credential } : {}) };
    this.log = new WideVolumeLog({ nodes, owner, clock, signal });
  }
  of(path: History): LogSource {
    return this.log.of(path);
  }
  close(): void {
    this.log.close();
  }
}

/**
 * `isCounted`: what would be undone is counted, which takes reading all of that log.
 * Raises what speaks against it: 22023 or 55000, in words for whoever asked; 58030 if log cannot be read.
 */
export async function planBacktrack(
  facts: PlanFacts,
  target: MomentTarget,
  { isCounted }: { readonly isCounted: boolean },
): Promise<BacktrackPlan> {
  const { clock } = facts;
  const nowUs = BigInt(clock.wallMs()) * 1000n;
  if (target.kind === "time" && target.timeUs > nowUs) throw inTheFuture(target);
  const log = new PathLog(facts);
  try {
    const planning = new Planning(facts, target, log);
    const { state, report } = await planning.run();
    if (!isCounted) return { state, report };
    return { state, report: { ...report, undone: undoneOf(await planning.count(state)) } };
  } finally {
    log.close();
  }
}

interface Look {
  readonly on: PathToSearch;
  readonly moment: Moment | undefined;
  readonly gone: GonePath | undefined;
}

class Planning {
  private readonly facts: PlanFacts;
  private readonly target: MomentTarget;
  private readonly log: PathLog;
  private readonly present: History;
  private readonly left: readonly LeftPath[];
  private readonly futures: readonly LeftFuture[];
  /** Log below is gone, or may be gone. */
  private readonly lowest: Lsn;
  /** No cache can be built as it was below. */
  private reach: Lsn;

  constructor(facts: PlanFacts, target: MomentTarget, log: PathLog) {
    this.facts = facts;
    this.target = target;
    this.log = log;
    const inEpoch = facts.states.filter(({ accepted }) => accepted === facts.writer.epoch);
    const history = pathIn(facts.states, facts.writer.epoch);
    if (!history) {
      const why = "no storage node that has the writer's epoch answers";
      throw new BorealisError(sqlState.cannotConnectNow, why, { hint: "try again in a moment" });
    }
    this.present = history;
    this.left = facts.abandoned.map(({ path, fork, end, leftAtMs }) => {
      return { path: parsePath(path), fork: parseLsn(fork), end: parseLsn(end), leftAtMs };
    });
    this.futures = leftFutures(facts, facts.clock.wallMs());
    this.lowest = inEpoch.reduce(
      (most: Lsn, { base, floor }) => lsnMaxOf(most, lsnMaxOf(base, floor)),
      lsnZero,
    );
    this.reach = this.lowest;
  }

  async run(): Promise<BacktrackPlan> {
    const { target, present } = this;
    this.reach = await this.findReach();
    const window = await this.window();
    const { on, moment, gone } = await this.look();
    if (gone) throw isGone(target, gone, { window, lowest: this.reach });
    if (!moment || !this.isCommitted(moment)) throw outsideWindow(target, window);
    const { endLsn: at } = moment;
    const { path, leftAtMs } = on;
    const range = { from: this.lowest, at };
    if (leftAtMs === undefined || isOnPath(path, present, range)) {
      if (!this.isReached(moment)) throw outsideWindow(target, window);
      const isFollowed = leftAtMs === undefined && moment.after !== undefined;
      if (!isFollowed && !(await this.hasCommitBehind(at))) throw nothingToUndo(target);
      return this.plan(moment, { window, to: at });
    }
    const to = forkOf(present, path, range);
    if (to < this.reach) throw noSnapshot(target, window);
    return this.plan(moment, { window, to, refill: { path, to: at, leftAtMs } });
  }

  /** The path that has the moment, and where; `gone`: none of them has it any more. */
  private async look(): Promise<Look> {
    const { facts, target, present, left, futures } = this;
    const { vdl } = facts.writer;
    let first: Look | undefined;
    for (const on of pathsOf(target, { path: present, end: vdl }, { left, futures })) {
      const search = findMoment({
        from: this.lowest,
        to: on.end,
        target,
        log: this.log.of(on.path),
        signal: facts.signal,
        onProgress: facts.onProgress,
      });
      // Another path than the one that was meant is looked at, too: what is left of it may not be whole.
      const isExtra = (error: unknown): boolean =>
        first !== undefined && error instanceof BorealisError && error.code === sqlState.ioError;
      const moment = await search.catch((error: unknown) => {
        if (isExtra(error)) return undefined;
        throw error;
      });
      const place = { presentEnd: vdl, found: moment?.endLsn, on: on.leftAtMs };
      const look = { on, moment, gone: goneOf(target, place, futures) };
      if (moment && !look.gone) return look;
      first ??= look;
    }
    assert(first !== undefined, "the present path is one");
    return first;
  }

  /** What the present path has behind the moment, as far as it was durable when this was planned. */
  count({ order }: BacktrackState): Promise<CommitSpan | undefined> {
    const { facts, present } = this;
    const { signal, onProgress, writer } = facts;
    const range = { from: parseLsn(order.to), to: writer.vdl };
    return countCommits({ ...range, log: this.log.of(present), signal, onProgress });
  }

  private async hasCommitBehind(from: Lsn): Promise<boolean> {
    const { signal, writer } = this.facts;
    const search = { log: this.log.of(this.present), from, to: writer.vdl, signal };
    return (await findFirstCommit(search)) !== undefined;
  }

  /** It has a commit of the cluster's own. */
  private isCommitted({ endLsn, lastCommit }: Moment): boolean {
    if (endLsn < this.lowest) return false;
    return lastCommit !== undefined && lastCommit.timeUs >= this.facts.createdAtUs;
  }

  /** As the window has it: its last commit lies behind where a snapshot leads to. */
  private isReached({ lastCommit }: Moment): boolean {
    return lastCommit !== undefined && lastCommit.end > this.reach;
  }

  /** A snapshot leads nowhere before its own end, though log is kept from its start. */
  private async findReach(): Promise<Lsn> {
    const { facts, present, lowest } = this;
    if (lowest <= facts.genesisLsn) return lowest;
    const reach = await facts.snapshotReach(present, lowest);
    return reach ?? facts.writer.vdl;
  }

  private async window(): Promise<BacktrackReport["window"]> {
    const { facts, lowest, reach: behind } = this;
    const { clock, writer, createdAtUs: sinceUs, signal } = facts;
    const from = lsnMaxOf(lowest, segmentStart(behind));
    const search = { log: this.log.of(this.present), from, to: writer.vdl, signal };
    const first = await findFirstCommit({ ...search, sinceUs, behind });
    const to = formatMicros(BigInt(clock.wallMs()) * 1000n);
    return { from: first ? formatMicros(first.timeUs) : to, to };
  }

  private plan(
    moment: Moment,
    found: {
      readonly window: BacktrackReport["window"];
      readonly to: Lsn;
      readonly refill?: { readonly path: History; readonly to: Lsn; readonly leftAtMs: number };
    },
  ): BacktrackPlan {
    const { facts, present } = this;
    const { refill, to, window } = found;
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
      askedAtMs: facts.askedAtMs,
      ...(refill && { returnsTo: refill.leftAtMs }),
      ...(refill && moment.after && { nextUs: String(moment.after.earliestUs) }),
    };
    return { state, report: reportOf(state, window) };
  }
}

/** As long as nothing is done, and nothing counted. */
export function reportOf(
  { order, lastCommitUs }: BacktrackState,
  window: BacktrackReport["window"],
): BacktrackReport {
  return {
    to: {
      lsn: order.refill?.to ?? order.to,
      lastCommit: formatMicros(BigInt(lastCommitUs)),
    },
    isReturn: order.refill !== null,
    undone: notCounted,
    window,
    done: null,
  };
}
