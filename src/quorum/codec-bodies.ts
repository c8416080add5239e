import type { ByteReader, ByteWriter } from "../base/bytes.ts";
import { ProtocolViolation } from "../base/errors.ts";
import type { Epoch, VolumeId } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import { refuseReasons } from "./append-codec.ts";
import {
  readChoice,
  readConfiguration,
  readConfigurationId,
  readCount,
  readEpoch,
  readFlag,
  readHistory,
  readPin,
  readPosition,
  readRuns,
  readUuid,
  readVolumeId,
  readVolumeOrNone,
  writeConfiguration,
  writeConfigurationId,
  writeCount,
  writeFlag,
  writeHistory,
  writePin,
  writePosition,
  writeRuns,
  writeUuid,
  writeVolumeOrNone,
} from "./codec-fields.ts";
import { scrubBodies } from "./codec-scrub.ts";
import type { History } from "./history.ts";
import type { Elect, MessageKind, MessageOf } from "./messages.ts";

/** Kinds with a body of their own; Append, AppendAck and Gap have fixed layouts (append-codec.ts). */
export type BodyKind = Exclude<MessageKind, "append" | "appendAck" | "gap">;

export interface BodyCodec<M> {
  /** Type byte on the wire; never reused. 1 and 2 are Append and AppendAck. */
  readonly type: number;
  encode(writer: ByteWriter, message: M): void;
  decode(reader: ByteReader): M;
}

const healths = ["ok", "full", "damaged", "failed"] as const;

/** Also the form of the electRecord in a node's state file, where its history may be `known` already. */
export function writeElect(writer: ByteWriter, elect: Elect, known?: History): void {
  writeCount(writer, elect.epoch);
  writeUuid(writer, elect.claimId);
  if (known === undefined) writeHistory(writer, elect.history);
  writer.u64(elect.start);
  writeConfiguration(writer, elect.configuration);
  writer.u64(elect.low).u64(elect.floor);
}
export function readElect(reader: ByteReader, known?: History): Elect {
  const elect: Elect = {
    kind: "elect",
    epoch: readEpoch(reader),
    claimId: readUuid(reader),
    history: known ?? readHistory(reader),
    start: reader.lsn(),
    configuration: readConfiguration(reader),
    low: reader.lsn(),
    floor: reader.lsn(),
  };
  const own = elect.history.at(-1);
  if (own?.epoch !== elect.epoch || own.start !== elect.start)
    throw new ProtocolViolation(`elect ${elect.epoch} whose history does not end in its own entry`);
  if (elect.low > elect.start || elect.configuration.sets.length === 0)
    throw new ProtocolViolation(`elect ${elect.epoch} without members or below its low-water`);
  return elect;
}

const empty = (): void => {};

/** Fields in the order of messages.ts. */
export const bodies: { readonly [K in BodyKind]: BodyCodec<MessageOf<K>> } = {
  inspect: { type: 3, encode: empty, decode: () => ({ kind: "inspect" }) },
  state: {
    type: 4,
    encode(w, m) {
      writePosition(w, m);
      writeCount(w, m.promised);
      writeCount(w, m.accepted);
      writeVolumeOrNone(w, m.sealed);
      w.u8(healths.indexOf(m.health));
      writeCount(w, m.logBytes);
      writeFlag(w, m.hasSubscribers);
      writeCount(w, m.healed);
    },
    decode: (r) => ({
      kind: "state",
      ...readPosition(r),
      promised: readEpoch(r),
      accepted: readEpoch(r),
      sealed: readVolumeOrNone(r),
      health: readChoice(r, healths),
      logBytes: readCount(r),
      hasSubscribers: readFlag(r),
      healed: readCount(r),
    }),
  },
  claim: {
    type: 5,
    encode(w, m) {
      writeCount(w, m.epoch);
      writeUuid(w, m.claimId);
      w.shortString(m.claimant);
    },
    decode: (r) => ({
      kind: "claim",
      epoch: readEpoch(r),
      claimId: readUuid(r),
      claimant: r.shortString(),
    }),
  },
  promise: {
    type: 6,
    encode(w, m) {
      writePosition(w, m);
      writeCount(w, m.epoch);
      writeUuid(w, m.claimId);
      w.u16(m.pins.length);
      for (const pin of m.pins) writePin(w, pin);
    },
    decode(r) {
      const position = readPosition(r);
      const head = { epoch: readEpoch(r), claimId: readUuid(r) };
      const pins = Array.from({ length: r.u16() }, () => readPin(r));
      return { kind: "promise", ...position, ...head, pins };
    },
  },
  refuse: {
    type: 7,
    encode(w, m) {
      writeCount(w, m.epoch);
      writeCount(w, m.promised);
      w.u8(refuseReasons.indexOf(m.reason));
    },
    decode: (r) => ({
      kind: "refuse",
      epoch: readEpoch(r),
      promised: readEpoch(r),
      reason: readChoice(r, refuseReasons),
    }),
  },
  wait: {
    type: 8,
    encode(w, m) {
      writeCount(w, m.epoch);
      w.u32(m.ms);
    },
    decode: (r) => ({ kind: "wait", epoch: readEpoch(r), ms: r.u32() }),
  },
  elect: { type: 9, encode: (w, m) => writeElect(w, m), decode: (r) => readElect(r) },
  electAck: {
    type: 10,
    encode(w, m) {
      writeCount(w, m.epoch);
      w.u64(m.scl);
      writeConfigurationId(w, m.configuration);
    },
    decode: (r) => ({
      kind: "electAck",
      epoch: readEpoch(r),
      scl: r.lsn(),
      configuration: readConfigurationId(r),
    }),
  },
  heartbeat: {
    type: 11,
    encode(w, m) {
      writeCount(w, m.epoch);
      writeCount(w, m.round);
      w.u64(m.vdl).u32(m.leaseMs);
    },
    decode: (r) => ({
      kind: "heartbeat",
      epoch: readEpoch(r),
      round: readCount(r),
      vdl: r.lsn(),
      leaseMs: r.u32(),
    }),
  },
  heartbeatAck: {
    type: 12,
    encode(w, m) {
      writeCount(w, m.epoch);
      writeCount(w, m.round);
      w.u64(m.scl).u32(m.leaseMs);
      writeFlag(w, m.hasSubscribers);
    },
    decode: (r) => ({
      kind: "heartbeatAck",
      epoch: readEpoch(r),
      round: readCount(r),
      scl: r.lsn(),
      leaseMs: r.u32(),
      hasSubscribers: readFlag(r),
    }),
  },
  configChange: {
    type: 13,
    encode(w, m) {
      writeCount(w, m.epoch);
      writeConfiguration(w, m.configuration);
      w.u64(m.low).u64(m.floor);
    },
    decode: (r) => ({
      kind: "configChange",
      epoch: readEpoch(r),
      configuration: readConfiguration(r),
      low: r.lsn(),
      floor: r.lsn(),
    }),
  },
  configAck: {
    type: 14,
    encode(w, m) {
      writeCount(w, m.epoch);
      writeConfigurationId(w, m.configuration);
    },
    decode: (r) => ({
      kind: "configAck",
      epoch: readEpoch(r),
      configuration: readConfigurationId(r),
    }),
  },
  floor: epochAndLsn("floor", 15),
  floorAck: epochAndLsn("floorAck", 16),
  advanceLow: epochAndLsn("advanceLow", 17),
  pull: {
    type: 18,
    encode(w, m) {
      w.u64(m.from).u32(m.maxBytes);
      writeCount(w, m.accepted);
    },
    decode: (r) => ({ kind: "pull", from: r.lsn(), maxBytes: r.u32(), accepted: readEpoch(r) }),
  },
  pullData: {
    type: 19,
    encode(w, m) {
      w.u64(m.lsn);
      writeRuns(w, m.runs);
      writeCount(w, m.accepted);
    },
    decode: (r) => ({ kind: "pullData", lsn: r.lsn(), runs: readRuns(r), accepted: readEpoch(r) }),
  },
  relayElect: {
    type: 20,
    encode: (w, m) => writeElect(w, m.electRecord),
    decode: (r) => ({ kind: "relayElect", electRecord: readElect(r) }),
  },
  getLog: {
    type: 21,
    encode(w, m) {
      writeFlag(w, m.path !== "current");
      if (m.path !== "current") writeHistory(w, m.path);
      w.u64(m.from).u64(m.to);
      writeFlag(w, m.maxVdl);
    },
    decode: (r) => ({
      kind: "getLog",
      path: readFlag(r) ? readHistory(r) : "current",
      from: r.lsn(),
      to: r.lsn(),
      maxVdl: readFlag(r),
    }),
  },
  logData: {
    type: 22,
    encode(w, m) {
      w.u64(m.lsn);
      writeRuns(w, m.runs);
    },
    decode: (r) => ({ kind: "logData", lsn: r.lsn(), runs: readRuns(r) }),
  },
  notHere: {
    type: 23,
    encode: (w, m) => void w.u64(m.base).u64(m.scl),
    decode: (r) => ({ kind: "notHere", base: r.lsn(), scl: r.lsn() }),
  },
  subscribe: {
    type: 24,
    encode(w, m) {
      writeHistory(w, m.path);
      w.u64(m.from);
    },
    decode: (r) => ({ kind: "subscribe", path: readHistory(r), from: r.lsn() }),
  },
  feedData: {
    type: 25,
    encode(w, m) {
      w.u64(m.lsn);
      writeRuns(w, m.runs);
      w.u64(m.vdl);
      writeCount(w, m.vdlEpoch);
      writeHistory(w, m.history);
    },
    decode: (r) => ({
      kind: "feedData",
      lsn: r.lsn(),
      runs: readRuns(r),
      vdl: r.lsn(),
      vdlEpoch: readEpoch(r),
      history: readHistory(r),
    }),
  },
  pathChanged: {
    type: 26,
    encode: (w, m) => writeHistory(w, m.history),
    decode: (r) => ({ kind: "pathChanged", history: readHistory(r) }),
  },
  pin: {
    type: 27,
    encode(w, m) {
      writeCount(w, m.epoch);
      writePin(w, m);
    },
    decode: (r) => ({ kind: "pin", epoch: readEpoch(r), ...readPin(r) }),
  },
  unpin: {
    type: 28,
    encode(w, m) {
      writeCount(w, m.epoch);
      writeUuid(w, m.pinId);
    },
    decode: (r) => ({ kind: "unpin", epoch: readEpoch(r), pinId: readUuid(r) }),
  },
  pinAck: {
    type: 29,
    encode(w, m) {
      writeCount(w, m.epoch);
      writeUuid(w, m.pinId);
      writeFlag(w, m.isHeld);
    },
    decode: (r) => ({
      kind: "pinAck",
      epoch: readEpoch(r),
      pinId: readUuid(r),
      isHeld: readFlag(r),
    }),
  },
  pinPull: {
    type: 30,
    encode(w, m) {
      writeUuid(w, m.pinId);
      w.u64(m.from);
    },
    decode: (r) => ({ kind: "pinPull", pinId: readUuid(r), from: r.lsn() }),
  },
  pinData: {
    type: 31,
    encode(w, m) {
      writeUuid(w, m.pinId);
      w.u64(m.lsn);
      writeRuns(w, m.runs);
    },
    decode: (r) => ({ kind: "pinData", pinId: readUuid(r), lsn: r.lsn(), runs: readRuns(r) }),
  },
  seal: epochAndSuccessor("seal", 32),
  sealAck: epochAndSuccessor("sealAck", 33),
  release: {
    type: 34,
    encode(w, m) {
      writeCount(w, m.epoch);
      writeCount(w, m.round);
    },
    decode: (r) => ({ kind: "release", epoch: readEpoch(r), round: readCount(r) }),
  },
  ...scrubBodies,
};

function epochAndLsn<K extends "floor" | "floorAck" | "advanceLow">(kind: K, type: number) {
  return {
    type,
    encode(w: ByteWriter, m: { readonly epoch: Epoch; readonly lsn: Lsn }): void {
      writeCount(w, m.epoch);
      w.u64(m.lsn);
    },
    decode: (r: ByteReader) => ({ kind, epoch: readEpoch(r), lsn: r.lsn() }),
  };
}

function epochAndSuccessor<K extends "seal" | "sealAck">(kind: K, type: number) {
  return {
    type,
    encode(w: ByteWriter, m: { readonly epoch: Epoch; readonly successor: VolumeId }): void {
      writeCount(w, m.epoch);
      writeUuid(w, m.successor);
    },
    decode: (r: ByteReader) => ({ kind, epoch: readEpoch(r), successor: readVolumeId(r) }),
  };
}
