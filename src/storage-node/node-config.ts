import { type Address, parseAddress } from "../base/address.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { type DataKeys, parseDataKeys } from "../keys/index.ts";
import type { ClusterCredential } from "../io/index.ts";
import type { Member } from "../quorum/index.ts";
import { isUuid, nodeId, type NodeId, volumeId, type VolumeId } from "../base/ids.ts";

export interface Peer {
  readonly nodeId: NodeId;
  readonly name: string;
  readonly address: Address;
}

/** How appends reach the log: in a thread, outside the event loop (needs built code), or in the event loop. */
export type AppendPath = "worker" | "loop";

/** `full` nodes keep objects beside their log. */
export type NodeKind = Member["kind"];

export interface StorageNodeConfig {
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
  /** For logs and hellos: `az1-full`. */
  readonly name: string;
  /** `full` unless told. */
  readonly kind?: NodeKind;
  readonly dir: string;
  readonly address: Address;
  /** What makes this node one of the cluster; an address of kind tls needs it, its own and its peers'. */
  readonly credential?: ClusterCredential;
  readonly peers: readonly Peer[];
  /** `worker` unless told. */
  readonly appendPath?: AppendPath;
  /** Size of a log file; 16 MiB unless told, 2 MiB at least. */
  readonly segmentBytes?: number;
  /** In how long all of it is read through once, in the background; a week unless told. */
  readonly scrubIntervalMs?: number;
  /** Absent: the volume is not encrypted. */
  readonly dataKeys?: DataKeys;
}

/** What the process adds to it. */
export interface StorageProcessConfig extends StorageNodeConfig {
  readonly logFile: string | undefined;
  readonly logLevel?: string;
  readonly logMaxBytes?: number;
}

/**
 * The configuration of a storage node's process from its JSON. By hand: zod alone would be a fifth of this process's
 * memory. Raises BorealisError 22023.
 */
export function parseStorageNodeConfig(raw: unknown): StorageProcessConfig {
  const fields = objectOf(raw, "the configuration");
  const peers = fields["peers"];
  const logFile = fields["logFile"];
  const logLevel = fields["logLevel"];
  const appendPath = fields["appendPath"] ?? "worker";
  if (appendPath !== "worker" && appendPath !== "loop") throw wrong("appendPath", "worker or loop");
  const kind = fields["kind"] ?? "full";
  if (kind !== "full" && kind !== "tail") throw wrong("kind", "full or tail");
  const segmentBytes = countOf(fields, "segmentBytes");
  const scrubIntervalMs = countOf(fields, "scrubIntervalMs");
  const logMaxBytes = countOf(fields, "logMaxBytes");
  const dataKeys = fields["dataKeys"] ?? undefined;
  return {
    volumeId: volumeId(uuidOf(fields, "volumeId")),
    nodeId: nodeId(uuidOf(fields, "nodeId")),
    name: textOf(fields, "name"),
    kind,
    dir: textOf(fields, "dir"),
    address: parseAddress(textOf(fields, "address")),
    ...parseCredential(fields["credential"]),
    peers: parsePeers(peers),
    appendPath,
    logFile: typeof logFile === "string" ? logFile : undefined,
    ...(segmentBytes === undefined ? {} : { segmentBytes }),
    ...(scrubIntervalMs === undefined ? {} : { scrubIntervalMs }),
    ...(dataKeys === undefined ? {} : { dataKeys: parseDataKeys(dataKeys) }),
    ...(typeof logLevel === "string" ? { logLevel } : {}),
    ...(logMaxBytes === undefined ? {} : { logMaxBytes }),
  };
}

/** Raises BorealisError 22023. */
export function parsePeers(raw: unknown): Peer[] {
  if (!Array.isArray(raw)) throw wrong("peers", "a list");
  return raw.map(parsePeer);
}

/** What the supervisor tells a running node: its peers, when they have changed. Raises BorealisError 22023. */
export function parseNewPeers(message: unknown): Peer[] {
  return parsePeers(objectOf(message, "a message")["peers"]);
}

function parsePeer(raw: unknown): Peer {
  const fields = objectOf(raw, "a peer");
  return {
    nodeId: nodeId(uuidOf(fields, "nodeId")),
    name: textOf(fields, "name"),
    address: parseAddress(textOf(fields, "address")),
  };
}

function parseCredential(raw: unknown): { credential?: ClusterCredential } {
  if (raw === undefined || raw === null) return {};
  const fields = objectOf(raw, "credential");
  const [ca, cert, key] = ["ca", "cert", "key"].map((name) => textOf(fields, name));
  return ca && cert && key ? { credential: { ca, cert, key } } : {};
}

type Fields = Record<string, unknown>;

function objectOf(raw: unknown, what: string): Fields {
  if (typeof raw !== "object" || raw === null) throw wrong(what, "an object");
  return { ...raw };
}

function textOf(fields: Fields, key: string): string {
  const value = fields[key];
  if (typeof value !== "string" || value === "") throw wrong(key, "a text");
  return value;
}

function uuidOf(fields: Fields, key: string): string {
  const text = textOf(fields, key);
  if (!isUuid(text)) throw wrong(key, "a UUID");
  return text;
}

function countOf(fields: Fields, key: string): number | undefined {
  const value = fields[key];
  if (value === undefined || value === null) return undefined;
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw wrong(key, "a whole number");
  return value;
}

function wrong(key: string, wanted: string): BorealisError {
  return new BorealisError(
    sqlState.invalidParameter,
    `${key} of a storage node has to be ${wanted}`,
  );
}
