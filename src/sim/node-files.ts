import type { AcceptorState, PendingCut } from "../acceptor/index.ts";
import { advance, type Lsn } from "../base/lsn.ts";
import { commonPrefix, type History } from "../quorum/index.ts";
import {
  encodeSlot,
  encodeSyncMark,
  newerSlot,
  type NewFrame,
  type NodeState,
  parseSlot,
  parseSyncMark,
  syncMarkBytes,
} from "../storage-node/index.ts";
import type { Dice } from "./dice.ts";
import { SimFile } from "./disk.ts";
import type { KeptTails } from "./kept-tails.ts";
import type { SimRules } from "./shell-rules.ts";
import { type RecoveredLog, SimLog } from "./sim-log.ts";

const slotFileBytes = 16 * 1024;

/** All that one node keeps on its disk: two state slots, the sync mark, the log. */
export class NodeFiles {
  readonly log: SimLog;
  rotKnownEnd: Lsn | undefined;
  /** What a loss of power would leave of the log. */
  durableEnd: Lsn;
  /** A durable sync mark knows of the log up to here: rot below it is never taken for a torn tail. */
  markedEnd: Lsn;
  private writtenMark: Lsn;
  /** A sync that began before a cut says nothing about the log after it. */
  cutsMade = 0;
  private readonly slots = [new SimFile(slotFileBytes), new SimFile(slotFileBytes)] as const;
  private readonly mark = new SimFile(syncMarkBytes);
  private ownFrames: KeptTails | undefined;
  private sequence = 0n;
  private durableState: NodeState;
  private written: NodeState | undefined;

  constructor(state: AcceptorState) {
    const { volumeId, nodeId, base } = state;
    this.log = new SimLog({ volumeId, nodeId }, base);
    this.durableEnd = base;
    this.markedEnd = base;
    this.writtenMark = base;
    this.durableState = { acceptor: state, cut: undefined, rotKnownEnd: undefined };
    this.writeState(state);
    this.finishState();
  }

  /** What a loss of power would leave. */
  newest(): NodeState {
    return this.durableState;
  }

  writeState(acceptor: AcceptorState): void {
    this.sequence++;
    this.rotKnownEnd = this.rotEndUnder(acceptor);
    const { rotKnownEnd } = this;
    const state: NodeState = { acceptor, cut: this.log.cutClaim, rotKnownEnd };
    this.written = state;
    this.slot(this.sequence).write(0, encodeSlot(this.sequence, state));
  }
  /** Another path: only what it shares with the old one must come back. */
  private rotEndUnder(acceptor: AcceptorState): Lsn | undefined {
    const { rotKnownEnd } = this;
    const before = (this.written ?? this.durableState).acceptor;
    if (rotKnownEnd === undefined || acceptor.accepted === before.accepted) return rotKnownEnd;
    const range = { from: before.base, limit: rotKnownEnd };
    return commonPrefix(before.history, acceptor.history, range);
  }

  /** A damaged node takes up its own frames behind the hole as soon as that is filled; gives the end of its log. */
  regain(history: History): Lsn {
    const { rotKnownEnd, log } = this;
    const frames: NewFrame[] = [];
    let at = log.end;
    if (rotKnownEnd === undefined) return at;
    this.ownFrames ??= log.shelf();
    while (at < rotKnownEnd) {
      const piece = this.ownFrames.next(at, history, rotKnownEnd);
      if (!piece) break;
      frames.push({ ...piece, payload: Buffer.from(piece.bytes) });
      at = advance(at, piece.bytes.length);
    }
    if (frames.length === 0) return at;
    log.write(frames);
    log.beginSync();
    this.finishLogSync();
    return at;
  }

  finishState(): void {
    this.slot(this.sequence).syncNow();
    if (this.written) this.durableState = this.written;
  }
  private slot(sequence: bigint): SimFile {
    return this.slots[Number(sequence % 2n) as 0 | 1];
  }

  finishLogSync(): void {
    this.log.finishSync();
    this.durableEnd = this.log.end;
    this.mark.syncNow();
    this.markedEnd = this.writtenMark;
    this.writtenMark = this.log.end;
    // Written behind the acknowledgement, synced with the next group.
    const mark = { sequence: this.log.lastSequence, lsn: this.log.end };
    this.mark.write(0, encodeSyncMark(mark));
  }

  /** Cuts, keeps aside, takes back, syncs; gives how many bytes came back. */
  cut(cut: PendingCut, history: History, tails: KeptTails): number {
    const { log } = this;
    this.cutsMade++;
    log.beginSync();
    log.finishSync();
    if (cut.isRebase) {
      log.rebase(cut.to);
      this.durableEnd = log.end;
      this.forgetMark();
      return 0;
    }
    if (cut.to < log.end) {
      if (cut.keepAside) tails.keep(cut.to, log.log.runs(cut.to, log.end));
      log.cut(cut.to);
    }
    const frames: NewFrame[] = [];
    let at = log.end;
    for (;;) {
      if (at >= cut.takeBackTo) break;
      const piece = tails.next(at, history, cut.takeBackTo);
      if (!piece) break;
      frames.push({ ...piece, payload: Buffer.from(piece.bytes) });
      at = (at + BigInt(piece.bytes.length)) as Lsn; // below 2^64: it was log
    }
    if (frames.length > 0) {
      log.write(frames);
      log.beginSync();
      log.finishSync();
    }
    this.durableEnd = log.end;
    this.forgetMark();
    return frames.length;
  }

  /** The mark speaks of a log that was cut, or may have been lost with the power. */
  private forgetMark(): void {
    this.markedEnd = this.log.log.base;
    this.writtenMark = this.markedEnd;
  }

  abandonSync(): void {
    this.log.abandonSync();
    for (const file of [...this.slots, this.mark]) file.abandonSync();
  }
  powerOff(dice: Dice): void {
    this.log.powerOff(dice);
    for (const file of [...this.slots, this.mark]) file.powerOff(dice);
  }

  recover(rules: SimRules): RecoveredLog {
    const slot = newerSlot(parseSlot(this.slots[0].cache), parseSlot(this.slots[1].cache));
    if (slot) {
      this.durableState = slot.state;
      this.sequence = slot.sequence;
    }
    for (const file of this.slots) file.syncNow();
    const { acceptor, cut, rotKnownEnd } = this.durableState;
    this.rotKnownEnd = rotKnownEnd;
    this.written = undefined;
    this.ownFrames = undefined;
    const mark = parseSyncMark(this.mark.cache);
    this.cutsMade++;
    const found = this.log.recover({ base: acceptor.base, cut, mark }, rules);
    this.durableEnd = this.log.end;
    this.forgetMark();
    const ends = [rotKnownEnd, found.rotKnownEnd].filter((end) => end !== undefined);
    for (const end of ends)
      if (this.rotKnownEnd === undefined || this.rotKnownEnd < end) this.rotKnownEnd = end;
    if (found.rotKnownEnd !== undefined) {
      // The cut at the rot, and the end to reach again, before anything is said or filled.
      this.writeState(acceptor);
      this.finishState();
    }
    return found;
  }
}
