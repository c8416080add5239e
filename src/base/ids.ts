import { assert } from "./assert.ts";
import type { Brand } from "./brand.ts";

/** Number of the current ownership of the volume, from 1; 0 means "none yet". */
export type Epoch = Brand<number, "Epoch">;
/** PostgreSQL's own branch number, from 1. Not an identity: two promotions may pick the same one. */
export type Timeline = Brand<number, "Timeline">;
/** UUID made with an empty disk; an empty disk is a new node, never an old one. */
export type NodeId = Brand<string, "NodeId">;
/** UUID of a volume. */
export type VolumeId = Brand<string, "VolumeId">;
/** `instance-1` … `instance-16`, or a name that the user gave. */
export type InstanceId = Brand<string, "InstanceId">;

const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

export function epoch(value: number): Epoch {
  assert(Number.isSafeInteger(value) && value >= 0, "an epoch is a safe non-negative integer");
  return value as Epoch; // the brand's one constructor
}

export const epochNone: Epoch = epoch(0);

export function timeline(value: number): Timeline {
  assert(Number.isInteger(value) && value >= 0 && value <= 0xffff_ffff, "a timeline is a u32");
  return value as Timeline; // the brand's one constructor
}

export function nodeId(text: string): NodeId {
  assert(uuid.test(text), "a node id is a UUID");
  return text as NodeId; // the brand's one constructor
}

export function volumeId(text: string): VolumeId {
  assert(uuid.test(text), "a volume id is a UUID");
  return text as VolumeId; // the brand's one constructor
}

export function isUuid(text: string): boolean {
  return uuid.test(text);
}

const instanceName = /^[a-z][a-z0-9-]{0,62}$/;

export function isInstanceName(text: string): boolean {
  return instanceName.test(text);
}

export function instanceId(text: string): InstanceId {
  assert(isInstanceName(text), "an instance id is a lower-case name of at most 63 characters");
  return text as InstanceId; // the brand's one constructor
}
