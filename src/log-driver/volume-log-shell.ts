import type { Lsn } from "../base/lsn.ts";
import type { History } from "../quorum/index.ts";
import type { LogSource } from "../volume/index.ts";
import { VolumeReader, type VolumeReaderOptions } from "./volume-reader-shell.ts";

/** A path's log as the storage nodes have it, durable or not: the caller says up to where. One read at a time. */
export function volumeLog(reader: VolumeReader, path: History | "current"): LogSource {
  return { read: (from, to) => reader.read({ path, from, to }) };
}

/**
 * The same for reading a lot: each of three lanes has a link of its own and begins with another node, since a node and
 * whoever reads from it mostly wait for each other.
 */
export class WideVolumeLog {
  private readonly readers: readonly VolumeReader[];
  private readonly idle: VolumeReader[];
  private readonly waiting: ((reader: VolumeReader) => void)[] = [];

  constructor(options: VolumeReaderOptions) {
    const { nodes } = options;
    const lanes = Math.max(1, Math.min(3, nodes.length));
    this.readers = Array.from({ length: lanes }, (_, lane) => {
      const first = Math.floor((lane * nodes.length) / lanes);
      return new VolumeReader({
        ...options,
        nodes: [...nodes.slice(first), ...nodes.slice(0, first)],
      });
    });
    this.idle = [...this.readers];
  }

  /** Raises 58030 when no node has the log. */
  of(path: History | "current"): LogSource {
    return { lanes: this.readers.length, read: (from, to) => this.read(path, from, to) };
  }

  close(): void {
    for (const reader of this.readers) reader.close();
  }

  private async read(path: History | "current", from: Lsn, to: Lsn): Promise<Buffer> {
    const reader =
      this.idle.shift() ??
      (await new Promise<VolumeReader>((resolve) => void this.waiting.push(resolve)));
    try {
      return await reader.read({ path, from, to });
    } finally {
      const next = this.waiting.shift();
      if (next) next(reader);
      else this.idle.push(reader);
    }
  }
}
