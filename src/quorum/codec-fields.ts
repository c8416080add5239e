import type { ByteReader, ByteWriter } from "../base/bytes.ts";
import { ProtocolViolation } from "../base/errors.ts";
import {
  type Epoch,
  epoch,
  type NodeId,
  nodeId,
  timeline,
  type VolumeId,
  volumeId,
} from "../base/ids.ts";
import {
  type Configuration,
  type ConfigurationId,
  isSoundSet,
  type Member,
  type MemberSet,
} from "./configuration.ts";
import { type History, type HistoryEntry, isSoundHistory } from "./history.ts";
import type { LogPosition, Pin, Run } from "./messages.ts";

/**
 * Fields that several messages and the node's state file share. All big-endian.
 *
 *     uuid           16 bytes
 *     epoch, count   u64, below 2^53
 *     lsn            u64
 *     history        u16 entries, each: epoch, u32 timeline, lsn start, u8 kind (0 branch, 1 backtrack),
 *                    u8 has volume, [uuid]
 *     configuration  epoch, u32 version, u8 sets (0-2), each: u8 W, u8 R, u8 members, each: uuid, shortString az,
 *                    u8 kind (0 full, 1 tail)
 *     runs           u32 count, each: epoch, u32 timeline, u32 length, bytes
 *     pin            uuid, history, lsn from, lsn to
 *     position       history, scl, base, floor, vdl, epoch vdlEpoch, configuration, u8 suspectTail
 */
const uuidBytesLength = 16;
const entriesMax = 0xffff;
/** A run is at least a byte, so a message cannot hold more; also what one answer reasonably needs. */
const runsMax = 65_536;

/** Few ids are in use, and each is in every message; whoever sends others has shown the cluster's credential. */
const knownIdsMax = 4096;
const bytesOf = new Map<string, Buffer>();
const textOf = new Map<string, string>();

/** The bytes are shared: to be read, not to be written into. */
export function uuidToBytes(text: string): Buffer {
  const known = bytesOf.get(text);
  if (known) return known;
  const bytes = Buffer.from(text.replaceAll("-", ""), "hex");
  if (bytesOf.size < knownIdsMax) bytesOf.set(text, bytes);
  return bytes;
}

export function uuidFromBytes(bytes: Uint8Array): string {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, uuidBytesLength);
  const key = buffer.toString("latin1");
  const known = textOf.get(key);
  if (known !== undefined) return known;
  const hex = buffer.toString("hex");
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  const text = `${parts.join("-")}-${hex.slice(20)}`;
  if (textOf.size < knownIdsMax) textOf.set(key, text);
  return text;
}

export function writeUuid(writer: ByteWriter, text: string): void {
  writer.raw(uuidToBytes(text));
}
export function readUuid(reader: ByteReader): string {
  return uuidFromBytes(reader.view(uuidBytesLength));
}
export function readNodeId(reader: ByteReader): NodeId {
  return nodeId(readUuid(reader));
}
export function readVolumeId(reader: ByteReader): VolumeId {
  return volumeId(readUuid(reader));
}

export function writeCount(writer: ByteWriter, value: number): void {
  writer.u64(BigInt(value));
}
export function readCount(reader: ByteReader): number {
  const value = Number(reader.u64());
  if (!Number.isSafeInteger(value)) throw new ProtocolViolation(`count ${value} is out of range`);
  return value;
}
export function readEpoch(reader: ByteReader): Epoch {
  return epoch(readCount(reader));
}

export function writeFlag(writer: ByteWriter, value: boolean): void {
  writer.u8(value ? 1 : 0);
}
export function readFlag(reader: ByteReader): boolean {
  return readChoice(reader, [false, true]);
}

/** One of `choices`, written as its index. */
export function readChoice<T>(reader: ByteReader, choices: readonly T[]): T {
  const index = reader.u8();
  const choice = choices[index];
  if (choice === undefined) throw new ProtocolViolation(`choice ${index} of ${choices.length}`);
  return choice;
}

export function writeVolumeOrNone(writer: ByteWriter, volume: VolumeId | undefined): void {
  writeFlag(writer, volume !== undefined);
  if (volume !== undefined) writeUuid(writer, volume);
}
export function readVolumeOrNone(reader: ByteReader): VolumeId | undefined {
  return readFlag(reader) ? readVolumeId(reader) : undefined;
}

const entryKinds = ["branch", "backtrack"] as const;

/** At most 65,535 entries: one failover a minute for six weeks. */
export function writeHistory(writer: ByteWriter, history: History): void {
  writer.u16(history.length);
  for (const entry of history) {
    writeCount(writer, entry.epoch);
    writer.u32(entry.timeline).u64(entry.start).u8(entryKinds.indexOf(entry.kind));
    writeVolumeOrNone(writer, entry.volumeId);
  }
}

export function readHistory(reader: ByteReader): History {
  const count = reader.u16();
  const history: HistoryEntry[] = [];
  for (let i = 0; i < count && i < entriesMax; i++) {
    const entry = {
      epoch: readEpoch(reader),
      timeline: timeline(reader.u32()),
      start: reader.lsn(),
      kind: readChoice(reader, entryKinds),
    };
    const volume = readVolumeOrNone(reader);
    history.push(volume === undefined ? entry : { ...entry, volumeId: volume });
  }
  if (!isSoundHistory(history))
    throw new ProtocolViolation("history with falling epochs or starts");
  return history;
}

const memberKinds = ["full", "tail"] as const;

export function writeConfigurationId(writer: ByteWriter, id: ConfigurationId): void {
  writeCount(writer, id.epoch);
  writer.u32(id.version);
}
export function readConfigurationId(reader: ByteReader): ConfigurationId {
  return { epoch: readEpoch(reader), version: reader.u32() };
}

export function writeConfiguration(writer: ByteWriter, configuration: Configuration): void {
  writeConfigurationId(writer, configuration.id);
  writer.u8(configuration.sets.length);
  for (const set of configuration.sets) {
    writer.u8(set.writeQuorum).u8(set.readQuorum).u8(set.members.length);
    for (const member of set.members) {
      writeUuid(writer, member.nodeId);
      writer.shortString(member.az).u8(memberKinds.indexOf(member.kind));
    }
  }
}

export function readConfiguration(reader: ByteReader): Configuration {
  const id = readConfigurationId(reader);
  const count = reader.u8();
  // No sets only in what a freshly formatted node says: a configuration without members would be met by nobody.
  const isNone = id.epoch === 0 && id.version === 0;
  if (count > 2 || (count === 0) !== isNone)
    throw new ProtocolViolation(`configuration of ${count} sets`);
  const sets: MemberSet[] = [];
  for (let i = 0; i < count; i++) sets.push(readSet(reader));
  return { id, sets };
}

function readSet(reader: ByteReader): MemberSet {
  const writeQuorum = reader.u8();
  const readQuorum = reader.u8();
  const count = reader.u8();
  const members: Member[] = [];
  for (let i = 0; i < count; i++) {
    members.push({
      nodeId: readNodeId(reader),
      az: reader.shortString(),
      kind: readChoice(reader, memberKinds),
    });
  }
  const set = { members, writeQuorum, readQuorum };
  if (!isSoundSet(set)) throw new ProtocolViolation("member set breaks the quorum rule");
  return set;
}

export function writeRuns(writer: ByteWriter, runs: readonly Run[]): void {
  writer.u32(runs.length);
  for (const run of runs) {
    writeCount(writer, run.epoch);
    writer.u32(run.timeline).u32(run.bytes.length).raw(run.bytes);
  }
}

/** The bytes are borrowed views of the message. */
export function readRuns(reader: ByteReader): Run[] {
  const count = reader.u32();
  if (count > runsMax) throw new ProtocolViolation(`${count} runs in one message`);
  const runs: Run[] = [];
  for (let i = 0; i < count; i++) {
    const head = { epoch: readEpoch(reader), timeline: timeline(reader.u32()) };
    const length = reader.u32();
    if (length === 0) throw new ProtocolViolation("an empty run");
    runs.push({ ...head, bytes: reader.view(length) });
  }
  return runs;
}

export function writePin(writer: ByteWriter, pin: Pin): void {
  writeUuid(writer, pin.pinId);
  writeHistory(writer, pin.path);
  writer.u64(pin.from).u64(pin.to);
}
export function readPin(reader: ByteReader): Pin {
  return {
    pinId: readUuid(reader),
    path: readHistory(reader),
    from: reader.lsn(),
    to: reader.lsn(),
  };
}

export function writePosition(writer: ByteWriter, position: LogPosition): void {
  writeHistory(writer, position.history);
  writer.u64(position.scl).u64(position.base).u64(position.floor).u64(position.vdl);
  writeCount(writer, position.vdlEpoch);
  writeConfiguration(writer, position.configuration);
  writeFlag(writer, position.suspectTail);
}
export function readPosition(reader: ByteReader): LogPosition {
  return {
    history: readHistory(reader),
    scl: reader.lsn(),
    base: reader.lsn(),
    floor: reader.lsn(),
    vdl: reader.lsn(),
    vdlEpoch: readEpoch(reader),
    configuration: readConfiguration(reader),
    suspectTail: readFlag(reader),
  };
}
