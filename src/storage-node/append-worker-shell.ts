import { assert } from "../base/assert.ts";
import { crc32c } from "../base/crc32c.ts";
import { messageOf, ProtocolViolation } from "../base/errors.ts";
import type { NodeId, VolumeId } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { ParentThread } from "../io/index.ts";
import { judgeAppend, overlapBytes } from "../acceptor/index.ts";
import {
  appendAckBytes,
  type AppendAnswer,
  appendAt,
  type AppendHeader,
  appendHeaderBytes,
  appendType,
  encodeAppendAck,
  isForLink,
  type LinkIds,
  payloadBytesMax,
  readAppendHeader,
  readEpochAt,
  uuidToBytes,
} from "../quorum/index.ts";
import { encodeFileHeader, fileHeaderBytes, frameHeaderBytes } from "./frame.ts";
import { FrameBatch } from "./frame-batch.ts";
import { PlaceSealer } from "./log-cipher.ts";
import type { RecentPiece } from "./recent-log.ts";
import { RecentTeller } from "./recent-teller.ts";
import type { FramePlace } from "./segment-table.ts";
import { randomOf, SharedFaults } from "./shared-faults.ts";
import { SharedKeys } from "./shared-keys.ts";
import { SharedLog } from "./shared-log.ts";
import { encodeSyncMark, syncMarkBytes } from "./sync-mark.ts";

/**
 * One append link, outside the event loop (decisions.md D7):
 *
 *     read (blocks) ─▶ injected faults ─▶ [take grant ─▶ check epochs ─▶ one write of all frames, O_DSYNC ─▶ acknowledge ─▶ give back]
 *
 * What piled up during a write is the next write: group commit without a timer. The bracket is what M10 needs: no
 * promise can be made between the check and the acknowledgement.
 */
export interface AppendLinkOrder {
  readonly kind: "link";
  readonly link: number;
  readonly fd: number;
  /** Bytes that the event loop had read already. */
  readonly early: Uint8Array;
}

export interface AppendWorkerSetup {
  readonly memory: SharedArrayBuffer;
  /** Memory of the current data key. */
  readonly keys: SharedArrayBuffer;
  /** Memory of the injected faults. */
  readonly faults: SharedArrayBuffer;
  /** The worker's name as a holder of the grant. */
  readonly holder: number;
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
  /** File of the sync mark. */
  readonly markFd: number;
}

export type AppendWorkerReport =
  /** The link is the main thread's again; `unread` is what came and was not an Append, or nothing. */
  | {
      readonly kind: "linkEnded";
      readonly link: number;
      readonly unread: Uint8Array;
      readonly reason: string;
    }
  /** The log moved and somebody is interested. */
  | { readonly kind: "progress" }
  /** Likewise; with what it moved by. It is log as long as `cuts` is what it was. */
  | { readonly kind: "recent"; readonly cuts: number; readonly pieces: readonly RecentPiece[] }
  /** A new log file was begun, or one is needed. */
  | { readonly kind: "files" }
  /** In file `sequence` a frame begins here: who reads there walks from it. */
  | { readonly kind: "mark"; readonly sequence: number; readonly place: FramePlace }
  /** A write failed: this node is finished. */
  | { readonly kind: "failed"; readonly message: string };

/** Room for the biggest message, and for what arrives beside it. */
const receiveBytes = appendHeaderBytes + payloadBytesMax + 64 * 1024;

/** The worker's main. */
export function run(parent: ParentThread): void {
  // Made by the node's main thread, of this type.
  const setup = parent.data as AppendWorkerSetup;
  const loop = new AppendLoop(parent, setup);
  parent.onMessage((message) => loop.serve(message as AppendLinkOrder));
}

type Outcome = "done" | "needsFile";

class AppendLoop {
  private readonly parent: ParentThread;
  private readonly setup: AppendWorkerSetup;
  private readonly shared: SharedLog;
  private readonly faults: SharedFaults;
  private readonly ids: LinkIds;
  private readonly buffer = Buffer.allocUnsafeSlow(receiveBytes);
  private readonly batch: FrameBatch;
  private readonly ackBuffer = Buffer.alloc(appendAckBytes);
  private readonly markBuffer = Buffer.alloc(syncMarkBytes);
  private fd = -1;
  /** Messages lie in [at, filled). */
  private at = 0;
  private filled = 0;
  /** The last Append taken since the last acknowledgement: one acknowledgement speaks for all before it. */
  private taken: AppendHeader | undefined;
  private marked: Lsn | undefined;
  private readonly recent: RecentTeller;

  constructor(parent: ParentThread, setup: AppendWorkerSetup) {
    this.parent = parent;
    this.setup = setup;
    this.shared = new SharedLog(setup.memory);
    this.recent = new RecentTeller(this.shared);
    this.faults = new SharedFaults(setup.faults);
    this.ids = { volume: uuidToBytes(setup.volumeId), node: uuidToBytes(setup.nodeId) };
    const sealer = new PlaceSealer({
      owner: setup,
      keys: new SharedKeys(setup.keys),
      placeOf: () => this.shared.place,
      entropy: parent.entropy,
    });
    this.batch = new FrameBatch(this.buffer, this.shared.scl, sealer);
  }

  /** Serves one link until it ends or something else than an Append arrives. */
  serve(order: AppendLinkOrder): void {
    this.fd = order.fd;
    this.at = 0;
    this.buffer.set(order.early, 0);
    this.filled = order.early.length;
    this.taken = undefined;
    let reason = "peer has finished";
    try {
      for (;;) {
        this.handleWhole();
        if (this.hasForeign()) {
          reason = "not an append";
          break;
        }
        if (!this.receive()) break;
      }
    } catch (error) {
      if (this.shared.health === "failed")
        return this.report({ kind: "failed", message: messageOf(error) });
      reason = messageOf(error);
      this.filled = this.at;
    }
    const unread = new Uint8Array(this.buffer.subarray(this.at, this.filled));
    this.report({ kind: "linkEnded", link: order.link, unread, reason });
  }

  private report(report: AppendWorkerReport): void {
    this.parent.post(report);
  }

  private receive(): boolean {
    this.buffer.copyWithin(0, this.at, this.filled);
    this.filled -= this.at;
    this.at = 0;
    const count = this.parent.blocking.read(this.fd, this.buffer, this.filled);
    this.filled += count;
    return count > 0;
  }

  private hasForeign(): boolean {
    const typeAt = this.at + appendAt.type;
    return this.filled > typeAt && this.buffer[typeAt] !== appendType;
  }

  /** Length of the whole message at `at`; undefined: not all of it is there, or it is not an Append. */
  private wholeBytes(): number | undefined {
    const { buffer, at } = this;
    if (this.filled - at < appendHeaderBytes || this.hasForeign()) return undefined;
    const length = buffer.readUInt32BE(at + appendAt.length);
    if (length < appendHeaderBytes || length > appendHeaderBytes + payloadBytesMax) {
      throw new ProtocolViolation(`append of ${length} bytes`);
    }
    return length <= this.filled - at ? length : undefined;
  }

  private handleWhole(): void {
    while (this.wholeBytes() !== undefined) {
      if (this.meetsFault()) continue;
      const epoch = readEpochAt(this.buffer, this.at + appendAt.epoch);
      const { shared } = this;
      const isHopeless = (): boolean =>
        shared.promised !== epoch || shared.accepted !== epoch || shared.health !== "ok";
      if (!shared.takeForWorker(this.setup.holder, isHopeless)) {
        this.refuseOne();
        continue;
      }
      let outcome: Outcome;
      const { cuts } = shared;
      try {
        outcome = this.handleUnderGrant();
      } catch (error) {
        // Of this grant nothing may be told under the next one: a cut may lie between. What was written can be read.
        this.recent.drop();
        if (shared.askForWake()) this.report({ kind: "progress" });
        throw error;
      } finally {
        shared.release(this.setup.holder);
      }
      this.afterGrant(cuts);
      if (outcome === "needsFile") this.awaitFile();
    }
  }

  /** True: an append was refused. Without the grant, which claims wait for. */
  private meetsFault(): boolean {
    const fate = this.faults.judge(() => randomOf(this.parent.entropy));
    if (fate.kind === "refused") this.refuseOne();
    if (fate.kind === "delayed") this.faults.wait(fate.ms);
    return fate.kind === "refused";
  }

  /** The main thread makes files; it may need the grant for what it is doing, so this waits without it. */
  private awaitFile(): void {
    this.report({ kind: "files" });
    if (this.shared.waitForSpare() === "noSpace" && this.wholeBytes() !== undefined) {
      this.refuseOne();
    }
  }

  /** Everything between the first check and the last acknowledgement. */
  private handleUnderGrant(): Outcome {
    const { shared, batch } = this;
    assert(shared.health !== "failed", "nothing is written after a failure");
    batch.begin(shared.scl, this.at + appendHeaderBytes - frameHeaderBytes);
    for (let length = this.wholeBytes(); length !== undefined; length = this.wholeBytes()) {
      const header = this.readHead(length);
      const view = {
        promised: shared.promised,
        accepted: shared.accepted,
        start: shared.start,
        end: batch.endLsn,
      };
      const verdict = judgeAppend(view, header);
      if (verdict === "take" && !this.take(header)) {
        this.flush();
        return "needsFile";
      }
      if (verdict !== "take") this.flush();
      if (verdict === "gap") {
        this.answer(header, { kind: "gap", epoch: header.epoch, end: shared.scl });
      }
      if (verdict === "refuse") this.answer(header, this.refusal(header));
      this.at += length;
      if (verdict !== "take") {
        batch.begin(shared.scl, this.at + appendHeaderBytes - frameHeaderBytes);
      }
    }
    this.flush();
    return "done";
  }

  private readHead(length: number): AppendHeader {
    const { buffer, at } = this;
    const header = readAppendHeader(buffer, at);
    if (!isForLink(buffer, this.ids, at)) throw new ProtocolViolation("append for another node");
    if (crc32c(buffer, 0, at + appendHeaderBytes, at + length) !== header.payloadCrc) {
      throw new ProtocolViolation("append payload CRC does not match");
    }
    return header;
  }

  /** Adds what is new of the Append to the batch. False: the current file has no room for it. */
  private take(header: AppendHeader): boolean {
    const { shared, batch } = this;
    const skip = overlapBytes(batch.endLsn, header.lsn, header.payloadBytes);
    const newBytes = header.payloadBytes - skip;
    if (newBytes > 0) {
      const room = shared.fileBytes - shared.place.at - batch.sizeBytes;
      if (room < frameHeaderBytes + newBytes && !this.beginFile()) return false;
      const payloadAt = this.at + appendHeaderBytes + skip;
      const payload = this.buffer.subarray(payloadAt, payloadAt + newBytes);
      const known = skip === 0 ? { payloadCrc: header.payloadCrc } : {};
      const { epoch, timeline } = header;
      // Now: sealing it overwrites it.
      if (shared.hasSubscribers)
        this.recent.add({ lsn: batch.endLsn, epoch, timeline, bytes: new Uint8Array(payload) });
      batch.add({ epoch, timeline, payload, ...known });
    }
    this.taken = header;
    if (header.vdl > shared.vdl) shared.vdl = header.vdl;
    return true;
  }

  /** Begins the next file, after what is in the batch went into this one. False: none is ready. */
  private beginFile(): boolean {
    const { shared, batch, setup } = this;
    if (shared.spareState !== "ready") return false;
    this.flush();
    const fd = shared.takeSpare();
    const sequence = shared.place.sequence + 1;
    const firstLsn = shared.scl;
    const { volumeId, nodeId } = setup;
    this.write(fd, encodeFileHeader({ volumeId, nodeId, sequence, firstLsn }), 0);
    shared.place = { fd, at: fileHeaderBytes, sequence, firstLsn };
    batch.begin(firstLsn, this.at + appendHeaderBytes - frameHeaderBytes);
    this.report({ kind: "files" });
    return true;
  }

  /** Writes and syncs the batch, then acknowledges all that was taken. */
  private flush(): void {
    const { shared, batch, taken } = this;
    if (batch.sizeBytes > 0) {
      const { place } = shared;
      this.write(place.fd, batch.bytes, place.at);
      const frame = { lsn: shared.scl, at: place.at };
      const { sequence } = place;
      if (this.recent.isMark(sequence, frame))
        this.report({ kind: "mark", sequence, place: frame });
      this.recent.written();
      shared.place = { ...place, at: place.at + batch.sizeBytes };
      shared.scl = batch.endLsn;
      batch.begin(shared.scl);
    }
    this.taken = undefined;
    if (taken === undefined) return;
    const { scl, hasSubscribers } = shared;
    this.answer(taken, { kind: "appendAck", epoch: taken.epoch, scl, hasSubscribers });
  }

  private write(fd: number, bytes: Buffer, at: number): void {
    try {
      this.parent.blocking.writeAt(fd, bytes, at);
    } catch (error) {
      this.shared.health = "failed";
      throw error;
    }
  }

  private answer(to: AppendHeader, answer: AppendAnswer): void {
    const bytes = encodeAppendAck(this.ids, to.requestId, answer, this.ackBuffer);
    this.parent.blocking.write(this.fd, bytes);
  }

  private refusal(header: AppendHeader): AppendAnswer {
    const { promised, accepted, health } = this.shared;
    const { epoch } = header;
    const isOwn = promised === epoch && accepted === epoch;
    const reason = !isOwn
      ? promised > epoch
        ? "stale"
        : "notAccepted"
      : health === "damaged"
        ? "damaged"
        : "full";
    return { kind: "refuse", epoch, promised, reason };
  }

  private refuseOne(): void {
    const length = this.wholeBytes();
    assert(length !== undefined, "only a whole message is refused");
    const header = readAppendHeader(this.buffer, this.at);
    this.answer(header, this.refusal(header));
    this.at += length;
  }

  /** What may wait until the acknowledgement is on its way. Readers wait for the first, nobody for the second. */
  private afterGrant(cuts: number): void {
    this.tell(cuts);
    const { shared } = this;
    const { scl } = shared;
    if (scl === this.marked) return;
    this.marked = scl;
    const mark = encodeSyncMark({ sequence: shared.place.sequence, lsn: scl }, this.markBuffer);
    this.write(this.setup.markFd, mark, 0);
  }

  /** Wakes the main thread if somebody follows the log; as much of it goes along as the main thread keeps up with. */
  private tell(cuts: number): void {
    const pieces = this.recent.take();
    if (pieces.length > 0) return this.report({ kind: "recent", cuts, pieces });
    if (this.shared.askForWake()) this.report({ kind: "progress" });
  }
}
