import type { NodeId } from "../base/ids.ts";
import { advance } from "../base/lsn.ts";
import type { Timer } from "../io/index.ts";
import type { FeedData, State } from "../quorum/index.ts";
import { FeedPatience } from "./feed-patience.ts";
import { FeedScout, type Spare } from "./feed-scout-shell.ts";
import type { FeedNodes } from "./feed-subscription-shell.ts";

export interface LookoutSink {
  /** The reader takes nothing now, whoever has it. */
  isPaused(): boolean;
  /** True: the node that said this has log that the reader may have and has not. */
  onSight(state: State): boolean;
  /** To go on with, instead of the node that serves. */
  onAhead(spare: Spare): void;
}

/** For as long as a subscription runs: looks whether another node has more, when the one that serves gives nothing. */
export class Lookout {
  private readonly nodes: FeedNodes;
  private readonly scout: FeedScout;
  private readonly sink: LookoutSink;
  private readonly patience: FeedPatience;
  private timer: Timer | undefined;
  private timerMs = 0;
  private isAsking = false;
  private isClosed = false;
  private serving: NodeId | undefined;
  /** Who served before, and since whom no log has come. */
  private readonly left = new Set<NodeId>();
  /** Pieces of log that came, and changes of who serves. */
  private changes = 0;

  constructor(nodes: FeedNodes, sink: LookoutSink) {
    this.nodes = nodes;
    this.sink = sink;
    this.scout = new FeedScout(nodes);
    this.patience = new FeedPatience(nodes.clock.nowMs());
  }

  /** This node serves from now on. Undefined: nobody does, and there is nobody to leave. */
  serves(node: NodeId | undefined): void {
    this.serving = node;
    this.changes++;
    this.arm();
  }

  /** The node that serves has spoken. */
  hear({ lsn, runs, vdl }: FeedData): void {
    const end = runs.reduce((at, { bytes }) => advance(at, bytes.length), lsn);
    const hasLog = runs.length > 0;
    if (hasLog) {
      this.changes++;
      this.left.clear();
    }
    this.patience.hear(this.nodes.clock.nowMs(), { hasLog, isBehind: vdl > end });
    this.arm();
  }

  close(): void {
    this.isClosed = true;
    this.timer?.cancel();
    this.scout.close();
  }

  /** A timer that rings too early is armed again then: under load it would be moved with each piece. */
  private arm(): void {
    const { dueMs } = this.patience;
    if (this.isClosed || this.isAsking || (this.timer && this.timerMs <= dueMs)) return;
    const { clock } = this.nodes;
    this.timer?.cancel();
    this.timerMs = dueMs;
    this.timer = clock.after(Math.max(0, dueMs - clock.nowMs()), () => {
      this.timer = undefined;
      if (this.patience.dueMs > clock.nowMs()) return this.arm();
      void this.ask();
    });
  }

  private async ask(): Promise<void> {
    const { serving, left, changes } = this;
    const mayAsk = serving !== undefined && !this.sink.isPaused();
    this.isAsking = true;
    const state = mayAsk ? await this.scout.ask(new Set([serving, ...left])) : undefined;
    this.isAsking = false;
    if (this.isClosed) return;
    if (this.changes === changes) {
      this.patience.asked(this.nodes.clock.nowMs());
      const spare = state && this.sink.onSight(state) ? this.scout.take() : undefined;
      if (spare && serving !== undefined) {
        left.add(serving);
        // Everybody was left without having given anything: anybody may be better now.
        if (left.size >= this.nodes.nodes.length - 1) left.clear();
        this.sink.onAhead(spare);
      } else if (state && !this.patience.isQuiet) this.scout.next();
    }
    this.arm();
  }
}
