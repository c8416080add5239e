import type { Epoch } from "../base/ids.ts";
import { advance, type Lsn, lsnMaxOf, lsnMin } from "../base/lsn.ts";
import { overlapBytes, piecesOnPath } from "../acceptor/index.ts";
import type { History, Run } from "../quorum/index.ts";
import type { NewFrame } from "./frame-batch.ts";
import { FrameShelf } from "./frame-shelf-shell.ts";
import type { KeptLog } from "./kept-log-shell.ts";
import type { LogStore } from "./log-store-shell.ts";

/** Log that is read and written again in one move, at most. */
const pieceBytes = 1024 * 1024;

/**
 * Log that a node has and that is not in its log: behind a hole that rot made, or cut off by a backtrack that was
 * abandoned. It comes back by being appended again, byte for byte as its (epoch, LSN) says, so that nobody has to send it.
 */
export class OwnLog {
  private readonly log: LogStore;
  private readonly kept: KeptLog;
  private shelf: FrameShelf | undefined;
  /** Where kept log ends that could not be read. */
  private keptRotTo: Lsn | undefined;

  constructor(log: LogStore, kept: KeptLog) {
    this.log = log;
    this.kept = kept;
  }

  noteKeptRot(to: Lsn): void {
    this.keptRotTo = lsnMaxOf(this.keptRotTo ?? to, to);
  }

  /** The log is whole: what was cut off with a hole is worth nothing any more. */
  forgetShelf(): void {
    this.shelf = undefined;
  }

  /**
   * From the log's end up to `to`, what is kept of this path (quorum-protocol.md 6, Elect, take back). Waits while there
   * is no space: a node that says it has less than it acknowledged would be believed. Gives the end of what should have
   * come back and has rotted.
   */
  async takeBack(
    history: History,
    to: Lsn,
    untilSpace: () => Promise<void>,
  ): Promise<Lsn | undefined> {
    const { log, kept } = this;
    this.keptRotTo = undefined;
    while (log.scl < to) {
      const from = log.scl;
      const range = { path: history, from, to, limitBytes: pieceBytes };
      const runs = await kept.read({ ...range, onlyPins: false });
      if (runs.length === 0) break;
      while (!(await log.append(framesOf(runs, log.scl, from)))) await untilSpace();
    }
    if (this.keptRotTo === undefined) return undefined;
    const missingTo = lsnMin(this.keptRotTo, to);
    return log.scl < missingTo ? missingTo : undefined;
  }

  /**
   * The hole may be filled as far as the node's own frames behind it reach. Those are taken up now, so that peers have to
   * send the hole only, and two nodes with holes in different places heal each other.
   */
  async regain(history: History, knownEnd: Lsn): Promise<"done" | "full"> {
    const { log } = this;
    this.shelf ??= await FrameShelf.scan(log.files, log.shelved, log.scl);
    while (log.scl < knownEnd) {
      const runs = await this.nextOnShelf(this.shelf, history, knownEnd);
      if (runs.length === 0) return "done";
      if (!(await log.append(framesOf(runs, log.scl, log.scl)))) return "full";
    }
    return "done";
  }

  private async nextOnShelf(shelf: FrameShelf, history: History, to: Lsn): Promise<Run[]> {
    const { scl } = this.log;
    for await (const runs of shelf.at(scl, to)) {
      const pieces = piecesOnPath(history, scl, { lsn: scl, runs }, isSameEpoch);
      if (pieces.length > 0) return pieces.map(({ run, bytes }) => ({ ...run, bytes }));
    }
    return [];
  }
}

const isSameEpoch = (epoch: Epoch, expected: Epoch): boolean => epoch === expected;

/** Runs that begin at `from`, as frames for a log that ends at `scl` and may have some of them already. */
function framesOf(runs: readonly Run[], scl: Lsn, from: Lsn): NewFrame[] {
  const frames: NewFrame[] = [];
  let at = from;
  for (const { epoch, timeline, bytes } of runs) {
    const skip = overlapBytes(scl, at, bytes.length);
    at = advance(at, bytes.length);
    if (skip < bytes.length)
      frames.push({ epoch, timeline, payload: Buffer.from(bytes.subarray(skip)) });
  }
  return frames;
}
