import { payloadBytesMax } from "./messages.ts";

/**
 * What is said on a link of purpose `object`: the objects that a full node keeps beside its log (docs/volume.md). A
 * language of its own: the acceptor never hears a word of it, and no object is sent on a link that log waits for.
 *
 * Requests on one link overlap; each is known by its request id, and its parts follow in order under the same one.
 *
 *     putObject, objectPart…  ─▶   ◀─ objectsDone
 *     getObject               ─▶   ◀─ objectData, objectPart… | objectAbsent
 *     hasObjects              ─▶   ◀─ objectsFound
 *     listObjects             ─▶   ◀─ objectList
 *     deleteObjects           ─▶   ◀─ objectsDone
 *     tidyObjects             ─▶   ◀─ objectsDone
 *
 * Any of them may be answered by objectRefused, also in the middle of parts.
 */

/** Bytes of an object in one message, at most: an extent with what stands around it fits into one. */
export const objectPartBytesMax = payloadBytesMax + 4096;
/** Manifests of the largest volumes are a few hundred megabytes. */
export const objectBytesMax = 1024 ** 3;
/** Names, or objects of a listing, in one message. */
export const objectNamesMax = 1000;
/** A name or prefix, in bytes of UTF-8. */
export const objectNameLengthMax = 255;
/** Of the text of a refusal, in bytes of UTF-8. */
export const refusalBytesMax = 2000;

/** `bytes` is the object's beginning, all of it if it fits into a part; what is missing follows as ObjectParts. */
export interface PutObject {
  readonly kind: "putObject";
  readonly name: string;
  readonly sizeBytes: number;
  readonly bytes: Uint8Array;
}
/** What follows, in order. An empty part of a put takes it back: nothing is kept, and nothing answered. */
export interface ObjectPart {
  readonly kind: "objectPart";
  readonly bytes: Uint8Array;
}
export interface GetObject {
  readonly kind: "getObject";
  readonly name: string;
}
/** As PutObject, in the other direction. */
export interface ObjectData {
  readonly kind: "objectData";
  readonly sizeBytes: number;
  readonly bytes: Uint8Array;
}
export interface ObjectAbsent {
  readonly kind: "objectAbsent";
}
export interface HasObjects {
  readonly kind: "hasObjects";
  readonly names: readonly string[];
}
/** One for each name, in their order. */
export interface ObjectsFound {
  readonly kind: "objectsFound";
  readonly areThere: readonly boolean[];
}
/** Those behind the name `after` that begin with `prefix`; "" is before all names. */
export interface ListObjects {
  readonly kind: "listObjects";
  readonly prefix: string;
  readonly after: string;
}
/** In the order of names. Not the end: ask again, behind the last one. */
export interface ObjectList {
  readonly kind: "objectList";
  readonly objects: readonly ListedObject[];
  readonly isEnd: boolean;
}
export interface ListedObject {
  readonly name: string;
  readonly sizeBytes: number;
  /** When it was last put, on the node's clock, in milliseconds of the Unix epoch. */
  readonly putAtMs: number;
  /** Another volume has the same file: a clone, or what this one is a clone of. */
  readonly isShared: boolean;
}
export interface DeleteObjects {
  readonly kind: "deleteObjects";
  readonly names: readonly string[];
}
/** Takes away what puts that began before then, and never ended, left behind; on the node's clock. */
export interface TidyObjects {
  readonly kind: "tidyObjects";
  readonly beforeMs: number;
}
/** To a put: it is kept, synced. To a delete: it is gone for good. */
export interface ObjectsDone {
  readonly kind: "objectsDone";
}

/**
 * `noSpace`: the disk is full, or what is left of it is the log's. `failed`: the disk, or the node, cannot. `damaged`: what
 * is there cannot be read as it was put. `notKept`: a tail node keeps log only.
 */
export type ObjectRefusalReason = "noSpace" | "failed" | "damaged" | "notKept";
export interface ObjectRefused {
  readonly kind: "objectRefused";
  readonly reason: ObjectRefusalReason;
  /** For people. */
  readonly message: string;
}

export type ObjectMessage =
  | PutObject
  | ObjectPart
  | GetObject
  | ObjectData
  | ObjectAbsent
  | HasObjects
  | ObjectsFound
  | ListObjects
  | ObjectList
  | DeleteObjects
  | TidyObjects
  | ObjectsDone
  | ObjectRefused;

export type ObjectMessageKind = ObjectMessage["kind"];
export type ObjectMessageOf<K extends ObjectMessageKind> = Extract<
  ObjectMessage,
  { readonly kind: K }
>;
