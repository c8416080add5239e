import type { NodeId } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { History, LogData, NotHere } from "../quorum/index.ts";
import type { SimInstance } from "./sim-instance.ts";

const answerPatienceMs = 150;

export interface FetchRange {
  /** Asked in turn. */
  readonly nodes: readonly NodeId[];
  readonly path: History;
  readonly from: Lsn;
  readonly to: Lsn;
  /** After so many answers that did not help: undefined. */
  readonly tries: number;
}

/** Reads the volume's log through GetLog, as LogData comes; gives the bytes, or nothing. */
export class LogFetch {
  private readonly instance: SimInstance;
  private readonly range: FetchRange;
  private readonly done: (bytes: Buffer | undefined) => void;
  private readonly pieces: Uint8Array[] = [];
  private at: Lsn;
  private asked: { readonly id: bigint; readonly atMs: number } | undefined;
  private failures = 0;
  private isOver = false;

  constructor(instance: SimInstance, range: FetchRange, done: (bytes: Buffer | undefined) => void) {
    this.instance = instance;
    this.range = range;
    this.done = done;
    this.at = range.from;
    // Not at once: whoever makes this keeps it first.
    instance.later(0, "fetch", () => this.ask(instance.clock.nowMs));
  }

  private ask(nowMs: number): void {
    const { nodes, path, from, to } = this.range;
    if (this.isOver) return;
    if (this.at >= to) return this.end(Buffer.concat(this.pieces));
    const node = nodes[this.failures % nodes.length];
    if (node === undefined || this.failures >= this.range.tries) return this.end(undefined);
    const at = from > this.at ? from : this.at;
    const id = this.instance.sendTo(node, { kind: "getLog", path, from: at, to, maxVdl: false });
    this.asked = { id, atMs: nowMs };
  }

  receive(requestId: bigint, message: LogData | NotHere, nowMs: number): void {
    if (this.asked?.id !== requestId) return;
    this.asked = undefined;
    const runs = message.kind === "logData" && message.lsn === this.at ? message.runs : [];
    for (const { bytes } of runs) {
      this.pieces.push(Buffer.from(bytes));
      this.at = (this.at + BigInt(bytes.length)) as Lsn; // below 2^64: it is log
    }
    if (runs.length === 0) this.failures++;
    if (runs.length > 0 || this.range.nodes.length > 1) this.ask(nowMs);
  }

  tick(nowMs: number): void {
    if (this.isOver) return;
    if (this.asked && nowMs - this.asked.atMs < answerPatienceMs) return;
    if (this.asked) this.failures++;
    this.ask(nowMs);
  }

  private end(bytes: Buffer | undefined): void {
    this.isOver = true;
    this.done(bytes);
  }
}
