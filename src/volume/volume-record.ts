/**
 * volume.json: who a volume is. With it, the key provider and the rest of the object store a volume is restored although
 * everything else is lost. It holds no secret: data keys are wrapped.
 *
 *     {"format": 1, "sha256": DIGEST OF THE RECORD'S JSON, "record": { … VolumeRecord, LSNs as text … }}
 *
 * Parsed by hand, since storage nodes, which load this room too, load no zod.
 */
import { createHash } from "node:crypto";
import { BorealisError, sqlState } from "../base/errors.ts";
import {
  epoch,
  isUuid,
  nodeId,
  type NodeId,
  timeline,
  type VolumeId,
  volumeId,
} from "../base/ids.ts";
import { findLsn, formatLsn, type Lsn } from "../base/lsn.ts";
import type { LeftFuture, Return } from "./left-futures.ts";
import { isSoundPath, type LogPath, type PathEntry } from "./log-path.ts";
import { volumeObject } from "./object-names.ts";

export const volumeRecordFormat = 1;

export interface VolumeRecord {
  readonly volumeId: VolumeId;
  /** By whose id extents are named: of a clone, and of a volume that was salvaged, it is the first one's. Absent: its own. */
  readonly ancestorVolumeId?: VolumeId;
  readonly clusterId: string;
  /** ISO 8601: of the cluster, and of this record. */
  readonly createdAt: string;
  readonly writtenAt: string;
  /** As PostgreSQL says it (`17.6`). */
  readonly engineVersion: string;
  readonly postgresMajor: number;
  readonly systemIdentifier: string;
  /** Where the volume's log begins: the start of the WAL segment with initdb's checkpoint. */
  readonly genesisLsn: Lsn;
  readonly masterUser: string;
  readonly isSuperuser: boolean;
  readonly encryption: "on" | "off";
  /** The text of the newest key ring (control/keyring.json), data keys wrapped; undefined: the volume has none. */
  readonly keyRing: string | undefined;
  /** As last known, with the nodes that were about to become members left out. */
  readonly members: readonly RecordedMember[];
  /** How many instances the cluster has, its writer with them. */
  readonly instances: number;
  /** The path of the volume's log, as far as its epochs have opened. Written before any log of a new epoch is archived. */
  readonly history: LogPath;
  /** Paths that backtracks left, oldest first, while their log is kept. */
  readonly left: readonly LeftPath[];
  /** What the cluster remembers of its backtracks: moments that are the volume's no more. Records of before have none, and what `left` has beside it counts, too. */
  readonly futures: readonly LeftFuture[];
}

export interface RecordedMember {
  readonly name: string;
  readonly nodeId: NodeId;
  readonly az: string;
  readonly kind: "full" | "tail";
}

/** What was the volume's path once. Log of it from `from` on is on the path no more. */
export interface LeftPath {
  readonly history: LogPath;
  readonly from: Lsn;
  /** Milliseconds since 1970. */
  readonly leftAtMs: number;
}

export function encodeVolumeRecord(record: VolumeRecord): Buffer {
  const json = {
    ...record,
    genesisLsn: formatLsn(record.genesisLsn),
    history: pathJson(record.history),
    left: record.left.map(({ history, from, leftAtMs }) => ({
      history: pathJson(history),
      from: formatLsn(from),
      leftAtMs,
    })),
    futures: record.futures.map(futureJson),
  };
  const sha256 = digest(JSON.stringify(json));
  const whole = { format: volumeRecordFormat, sha256, record: json };
  return Buffer.from(`${JSON.stringify(whole, null, 2)}\n`);
}

/** Raises BorealisError XX001 for what is damaged, 0A000 for what a newer Borealis wrote. Unknown fields are passed over. */
export function parseVolumeRecord(bytes: Uint8Array): VolumeRecord {
  let outer: Fields;
  try {
    outer = new Fields(JSON.parse(Buffer.from(bytes).toString("utf8")), "the file");
  } catch (cause) {
    throw damaged("it is not JSON", cause);
  }
  const format = outer.count("format");
  if (format > volumeRecordFormat) {
    const why = `${volumeObject} has format ${format}, and this Borealis knows ${volumeRecordFormat}`;
    throw new BorealisError(sqlState.notSupported, why, { hint: "use the version that wrote it" });
  }
  if (outer.text("sha256") !== digest(JSON.stringify(outer.any("record"))))
    throw damaged("its sum does not fit");
  const of = new Fields(outer.any("record"), "the record");
  const id = of.text("volumeId");
  if (!isUuid(id)) throw damaged("its volume id is none");
  const ancestor = of.any("ancestorVolumeId") === undefined ? "" : of.text("ancestorVolumeId");
  if (ancestor !== "" && !isUuid(ancestor)) throw damaged("its ancestor's volume id is none");
  return {
    volumeId: volumeId(id),
    ...(ancestor !== "" && { ancestorVolumeId: volumeId(ancestor) }),
    clusterId: of.text("clusterId"),
    createdAt: of.text("createdAt"),
    writtenAt: of.text("writtenAt"),
    engineVersion: of.text("engineVersion"),
    postgresMajor: of.count("postgresMajor"),
    systemIdentifier: of.text("systemIdentifier"),
    genesisLsn: of.lsn("genesisLsn"),
    masterUser: of.text("masterUser"),
    isSuperuser: of.oneOf("isSuperuser", [true, false]),
    encryption: of.oneOf("encryption", ["on", "off"]),
    keyRing: of.any("keyRing") === undefined ? undefined : of.text("keyRing"),
    members: of.list("members").map(parseMember),
    instances: of.count("instances"),
    history: parsePath(of.list("history")),
    left: of.list("left").map((one) => ({
      history: parsePath(one.list("history")),
      from: one.lsn("from"),
      leftAtMs: one.count("leftAtMs"),
    })),
    futures: of.any("futures") === undefined ? [] : of.list("futures").map(parseFuture),
  };
}

function futureJson({ fork, end, firstUs, returned, ...times }: LeftFuture): unknown {
  return {
    fork: formatLsn(fork),
    end: formatLsn(end),
    ...times,
    ...(firstUs !== undefined && { firstUs: String(firstUs) }),
    ...(returned && { returned: returnJson(returned) }),
  };
}

function returnJson({ leftAtMs, to, nextUs }: Return): unknown {
  return { leftAtMs, to: formatLsn(to), ...(nextUs !== undefined && { nextUs: String(nextUs) }) };
}

function parseReturn(of: Fields): Return {
  return {
    leftAtMs: of.count("leftAtMs"),
    to: of.lsn("to"),
    nextUs: of.any("nextUs") === undefined ? undefined : of.micros("nextUs"),
  };
}

function parseFuture(of: Fields): LeftFuture {
  const [returned] = of.any("returned") === undefined ? [] : [of.fields("returned")];
  return {
    fork: of.lsn("fork"),
    end: of.lsn("end"),
    leftAtMs: of.count("leftAtMs"),
    firstUs: of.any("firstUs") === undefined ? undefined : of.micros("firstUs"),
    returned: returned && parseReturn(returned),
    untilMs: of.any("untilMs") === undefined ? undefined : of.count("untilMs"),
    ...(of.any("merged") !== undefined && { merged: of.count("merged") }),
    ...(of.any("isParents") === true && { isParents: true }),
  };
}

function parseMember(of: Fields): RecordedMember {
  const id = of.text("nodeId");
  if (!isUuid(id)) throw damaged("a node's id is none");
  return {
    name: of.text("name"),
    nodeId: nodeId(id),
    az: of.text("az"),
    kind: of.oneOf("kind", ["full", "tail"]),
  };
}

function parsePath(entries: readonly Fields[]): LogPath {
  const path = entries.map((of): PathEntry => {
    const parent = of.any("volumeId") === undefined ? undefined : of.text("volumeId");
    if (parent !== undefined && !isUuid(parent)) throw damaged("an entry's volume id is none");
    return {
      epoch: epoch(of.count("epoch")),
      timeline: timeline(of.count("timeline")),
      start: of.lsn("start"),
      kind: of.oneOf("kind", ["branch", "backtrack"]),
      ...(parent === undefined ? {} : { volumeId: volumeId(parent) }),
    };
  });
  if (!isSoundPath(path)) throw damaged("its path is none");
  return path;
}

function pathJson(path: LogPath): readonly unknown[] {
  return path.map((entry) => ({ ...entry, start: formatLsn(entry.start) }));
}

/** A JSON object's fields; each getter raises XX001 for what is of another kind. */
class Fields {
  private readonly values: Readonly<Record<string, unknown>>;

  constructor(value: unknown, what: string) {
    if (typeof value !== "object" || value === null || Array.isArray(value))
      throw damaged(`${what} is no object`);
    this.values = { ...value };
  }

  any(name: string): unknown {
    return this.values[name];
  }
  text(name: string): string {
    const value = this.values[name];
    return typeof value === "string" ? value : this.refuse(name);
  }
  count(name: string): number {
    const value = this.values[name];
    const isCount = typeof value === "number" && Number.isSafeInteger(value) && value >= 0;
    return isCount ? value : this.refuse(name);
  }
  lsn(name: string): Lsn {
    return findLsn(this.text(name)) ?? this.refuse(name);
  }
  micros(name: string): bigint {
    const text = this.text(name);
    return /^\d{1,18}$/.test(text) ? BigInt(text) : this.refuse(name);
  }
  fields(name: string): Fields {
    return new Fields(this.values[name], name);
  }
  oneOf<Value extends string | boolean>(name: string, values: readonly Value[]): Value {
    const value = this.values[name];
    return values.find((one) => one === value) ?? this.refuse(name);
  }
  list(name: string): Fields[] {
    const value: unknown = this.values[name];
    if (!Array.isArray(value)) return this.refuse(name);
    return value.map((one: unknown) => new Fields(one, `one of ${name}`));
  }

  private refuse(name: string): never {
    throw damaged(`its field ${name} is not what it should be`);
  }
}

function damaged(why: string, cause?: unknown): BorealisError {
  return new BorealisError(sqlState.dataCorrupted, `${volumeObject} is damaged: ${why}`, {
    hint: "a running cluster writes it again",
    cause,
  });
}

function digest(text: string | undefined): string {
  return createHash("sha256")
    .update(text ?? "")
    .digest("hex");
}
