import type { NodeId } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import { type Configuration, membersOf } from "../quorum/index.ts";

/** A pull without an answer is given up after this. */
const answerPatienceMs = 500;
/** A node that hears of a VDL beyond its log first waits this long for the driver's own appends. */
const appendPatienceMs = 300;
/** How long after the last progress a node asks a peer anyway: with no driver alive, nodes heal each other. */
const gossipMs = 2_000;
/** Between two rounds of asking when no peer had anything. */
const idlePeersMs = 200;

/** What a node's wish for log depends on. */
export interface FillView {
  readonly configuration: Configuration;
  readonly end: Lsn;
  readonly vdl: Lsn;
  /** Start of the accepted epoch: up to it no driver appends. */
  readonly start: Lsn;
  /** Log that the node once had is missing: it stands aside until that is back. */
  readonly isDamaged: boolean;
}

/** How long a node whose disk was full does not ask. */
const noSpaceMs = 500;

/** Decides when a node asks which peer for log (section 6, Pull fill); pieces.ts says what it may take of the answer. */
export class Filler {
  private readonly self: NodeId;
  private askedAtMs: number | undefined;
  private lastAskedMs = Number.NEGATIVE_INFINITY;
  private progressMs: number;
  private failures = 0;
  private turn = 0;
  private isCatchingUp = false;
  private restsUntilMs = Number.NEGATIVE_INFINITY;

  constructor(self: NodeId, nowMs: number) {
    this.progressMs = nowMs;
    this.self = self;
  }

  noteProgress(nowMs: number): void {
    this.progressMs = nowMs;
    this.failures = 0;
  }

  /** A pull brought `bytes`; a large answer means that there is more. */
  noteFilled(nowMs: number, isLarge: boolean): void {
    this.noteProgress(nowMs);
    this.askedAtMs = undefined;
    this.isCatchingUp = isLarge;
  }

  /** The peer had nothing, or did not answer: ask another. */
  noteFailed(): void {
    if (this.askedAtMs === undefined) return;
    this.askedAtMs = undefined;
    this.isCatchingUp = false;
    this.failures++;
    this.turn++;
  }

  /** What was pulled found no space. */
  noteNoSpace(nowMs: number): void {
    this.isCatchingUp = false;
    this.restsUntilMs = nowMs + noSpaceMs;
  }

  /** The peer to ask now, if any; asking is then noted. */
  peerToAsk(view: FillView, nowMs: number): NodeId | undefined {
    if (this.askedAtMs !== undefined) {
      if (nowMs - this.askedAtMs < answerPatienceMs) return undefined;
      this.noteFailed();
    }
    if (nowMs < this.restsUntilMs) return undefined;
    const peers = membersOf(view.configuration).filter((member) => member.nodeId !== this.self);
    if (peers.length === 0 || !this.isWanted(view, nowMs)) return undefined;
    const isTired = this.failures >= peers.length;
    if (isTired && nowMs - this.lastAskedMs < idlePeersMs) return undefined;
    this.askedAtMs = nowMs;
    this.lastAskedMs = nowMs;
    return peers[this.turn % peers.length]?.nodeId;
  }

  private isWanted(view: FillView, nowMs: number): boolean {
    if (this.isCatchingUp || view.isDamaged || view.end < view.start) return true;
    const idleMs = nowMs - this.progressMs;
    if (view.vdl > view.end) return idleMs >= appendPatienceMs;
    return idleMs >= gossipMs && nowMs - this.lastAskedMs >= gossipMs;
  }
}
