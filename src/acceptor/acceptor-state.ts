import { assert } from "../base/assert.ts";
import { ByteReader, ByteWriter } from "../base/bytes.ts";
import { type Epoch, epochNone, type NodeId, type VolumeId } from "../base/ids.ts";
import { type Lsn } from "../base/lsn.ts";
import { readElect, writeElect } from "../quorum/index.ts";
import {
  readConfiguration,
  readEpoch,
  readFlag,
  readHistory,
  readNodeId,
  readPin,
  readUuid,
  readVolumeId,
  readVolumeOrNone,
  writeConfiguration,
  writeCount,
  writeFlag,
  writeHistory,
  writePin,
  writeUuid,
  writeVolumeOrNone,
} from "../quorum/index.ts";
import { type Configuration, noConfiguration } from "../quorum/index.ts";
import { type History, isSameHistory, isSoundHistory } from "../quorum/index.ts";
import type { Elect, Pin } from "../quorum/index.ts";

/**
 * A cut that the state promises and the log may not show yet: written before the physical cut, cleared after it and
 * before anything may be appended. A node that finds one at its start cuts again.
 */
export interface PendingCut {
  /** New end of the log; for a rebase also its new base, and nothing of the old log stays. */
  readonly to: Lsn;
  readonly isRebase: boolean;
  /** The cut tail goes to the retired store (the new path has a backtrack that the old one has not). */
  readonly keepAside: boolean;
  /** Bytes that the retired store has and the new path contains come back, up to here. */
  readonly takeBackTo: Lsn;
}

/** What a storage node must not forget (section 4), apart from the log itself. Replaced whole, never changed. */
export interface AcceptorState {
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
  readonly promised: Epoch;
  readonly promisedTo: string | undefined;
  readonly accepted: Epoch;
  /** Full history of the accepted Elect; the effective one is computed. */
  readonly history: History;
  readonly configuration: Configuration;
  readonly electRecord: Elect | undefined;
  readonly base: Lsn;
  readonly floor: Lsn;
  readonly pins: readonly Pin[];
  readonly sealed: VolumeId | undefined;
  /** Longest lease that may be out; how long a restarted node makes claims wait (decisions.md D40). */
  readonly leaseMs: number;
  readonly pendingCut: PendingCut | undefined;
}

/** A node with an empty disk (decisions.md D1): base = SCL = `base`. */
export function formattedState(facts: {
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
  readonly base: Lsn;
}): AcceptorState {
  return {
    ...facts,
    promised: epochNone,
    promisedTo: undefined,
    accepted: epochNone,
    history: [],
    configuration: noConfiguration,
    electRecord: undefined,
    floor: facts.base,
    pins: [],
    sealed: undefined,
    leaseMs: 0,
    pendingCut: undefined,
  };
}

/** The laws that a state must obey whenever it is written or read. */
export function assertSoundState(state: AcceptorState): void {
  assert(state.accepted <= state.promised, "I6: accepted is at most promised");
  assert(isSoundHistory(state.history), "a history has rising epochs and non-falling starts");
  assert(
    (state.history.at(-1)?.epoch ?? epochNone) === state.accepted,
    "a node's history ends in the epoch it accepted",
  );
}

const stateVersion = 1;
/** What follows of the accepted Elect. A history grows with the epochs, so the one that both have is kept once. */
const electForm = { none: 0, whole: 1, withoutHistory: 2 } as const;

/**
 * The state as bytes; slot number and CRC are the store's. u8 version, volume uuid, node uuid, promised, has-flag and
 * uuid promisedTo, accepted, history, configuration, u8 electForm and Elect, base, floor, u16 pins, has-flag and uuid
 * sealed, u32 leaseMs, has-flag and cut (lsn to, u8 isRebase, u8 keepAside, lsn takeBackTo).
 */
export function encodeAcceptorState(state: AcceptorState): Buffer {
  assertSoundState(state);
  const w = new ByteWriter(1024);
  w.u8(stateVersion);
  writeUuid(w, state.volumeId);
  writeUuid(w, state.nodeId);
  writeCount(w, state.promised);
  writeFlag(w, state.promisedTo !== undefined);
  if (state.promisedTo !== undefined) writeUuid(w, state.promisedTo);
  writeCount(w, state.accepted);
  writeHistory(w, state.history);
  writeConfiguration(w, state.configuration);
  writeElectRecord(w, state);
  w.u64(state.base).u64(state.floor).u16(state.pins.length);
  for (const pin of state.pins) writePin(w, pin);
  writeVolumeOrNone(w, state.sealed);
  w.u32(state.leaseMs);
  const cut = state.pendingCut;
  writeFlag(w, cut !== undefined);
  if (cut) {
    w.u64(cut.to);
    writeFlag(w, cut.isRebase);
    writeFlag(w, cut.keepAside);
    w.u64(cut.takeBackTo);
  }
  return w.finish();
}

function writeElectRecord(w: ByteWriter, state: AcceptorState): void {
  const { electRecord, history } = state;
  if (electRecord === undefined) {
    w.u8(electForm.none);
  } else if (isSameHistory(electRecord.history, history)) {
    w.u8(electForm.withoutHistory);
    writeElect(w, electRecord, history);
  } else {
    w.u8(electForm.whole);
    writeElect(w, electRecord);
  }
}

function readElectRecord(r: ByteReader, history: History): Elect | undefined {
  const form = r.u8();
  if (form === electForm.none) return undefined;
  assert(
    form === electForm.whole || form === electForm.withoutHistory,
    "an Elect has a known form",
  );
  return form === electForm.whole ? readElect(r) : readElect(r, history);
}

/** Raises ProtocolViolation for bytes that are no state, InvariantBroken for one that breaks a law. */
export function decodeAcceptorState(bytes: Buffer): AcceptorState {
  const r = new ByteReader(bytes);
  assert(r.u8() === stateVersion, "the state's version is one that this build writes");
  const head = {
    volumeId: readVolumeId(r),
    nodeId: readNodeId(r),
    promised: readEpoch(r),
    promisedTo: readFlag(r) ? readUuid(r) : undefined,
    accepted: readEpoch(r),
    history: readHistory(r),
    configuration: readConfiguration(r),
  };
  const state: AcceptorState = {
    ...head,
    electRecord: readElectRecord(r, head.history),
    base: r.lsn(),
    floor: r.lsn(),
    pins: Array.from({ length: r.u16() }, () => readPin(r)),
    sealed: readVolumeOrNone(r),
    leaseMs: r.u32(),
    pendingCut: readFlag(r) ? readCut(r) : undefined,
  };
  r.end();
  assertSoundState(state);
  return state;
}

function readCut(r: ByteReader): PendingCut {
  return { to: r.lsn(), isRebase: readFlag(r), keepAside: readFlag(r), takeBackTo: r.lsn() };
}
