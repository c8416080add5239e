import type { History } from "../quorum/index.ts";
import type { LogSource } from "../volume/index.ts";
import type { VolumeReader } from "./volume-reader-shell.ts";

/** A path's log as the storage nodes have it, durable or not: the caller says up to where. */
export function volumeLog(reader: VolumeReader, path: History | "current"): LogSource {
  return { read: (from, to) => reader.read({ path, from, to }) };
}
