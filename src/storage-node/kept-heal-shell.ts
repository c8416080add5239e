import type { NodeId, VolumeId } from "../base/ids.ts";
import { advance, type Lsn, lsnMin } from "../base/lsn.ts";
import { piecesOnPath } from "../acceptor/index.ts";
import { type Disk } from "../io/index.ts";
import type { History, Run } from "../quorum/index.ts";
import { encodeFileHeader } from "./frame.ts";
import { FrameShelf } from "./frame-shelf-shell.ts";
import { batchOf, type KeptPart } from "./kept-log-shell.ts";
import type { LogFiles } from "./log-files-shell.ts";

interface NodeIds {
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
}

/** Where missing bytes may come from: bytes of this path from `from` on, or none. */
export type Source = (path: History, from: Lsn, to: Lsn) => Promise<readonly Run[]>;

/**
 * Makes a log file of kept log whole again: its own good frames, and what is missing between them from elsewhere. Written
 * beside it and renamed over it, so a crash leaves the one or the other; further names of the old file keep that.
 */
export class KeptHealer {
  private readonly disk: Disk;
  private readonly sources: readonly Source[];
  private readonly owner: NodeIds;

  constructor(options: {
    readonly disk: Disk;
    readonly owner: NodeIds;
    readonly sources: readonly Source[];
  }) {
    this.disk = options.disk;
    this.sources = options.sources;
    this.owner = options.owner;
  }

  /** False: nobody has what is missing. */
  async heal(
    part: KeptPart,
    file: { readonly sequence: number; readonly from: Lsn; readonly to: Lsn },
    path: History | undefined,
  ): Promise<boolean> {
    const { sequence, from, to } = file;
    const shelf = await FrameShelf.scan(part.files, [sequence], from);
    const runs: Run[] = [];
    for (let at = from; at < to;) {
      const found = await this.next(shelf, { at, to, before: runs.at(-1), path });
      if (found.length === 0) return false;
      runs.push(...found);
      at = advance(
        at,
        found.reduce((sum, run) => sum + run.bytes.length, 0),
      );
    }
    await this.replace(part.files, { sequence, from, runs });
    return true;
  }

  private async next(
    shelf: FrameShelf,
    want: { at: Lsn; to: Lsn; before: Run | undefined; path: History | undefined },
  ): Promise<readonly Run[]> {
    const { at, to, before } = want;
    for await (const runs of shelf.at(at, to)) if (runs.length > 0) return runs;
    const hole = shelf.holeAt(at, to);
    // A retired tail's path is not written down anywhere; its neighbours say which epochs the missing bytes can have.
    const around = [before, hole.behind, ...hole.named].filter((one) => one !== undefined);
    const guesses = around.map(({ epoch, timeline }): History => {
      return [{ epoch, timeline, start: at, kind: "branch" }];
    });
    for (const path of want.path ? [want.path] : guesses) {
      for (const source of this.sources) {
        const runs = await source(path, at, lsnMin(hole.to, to));
        const pieces = piecesOnPath(path, at, { lsn: at, runs }, (is, wanted) => is === wanted);
        if (pieces.length > 0) return pieces.map(({ run, bytes }) => ({ ...run, bytes }));
      }
    }
    return [];
  }

  private async replace(
    files: LogFiles,
    whole: { readonly sequence: number; readonly from: Lsn; readonly runs: readonly Run[] },
  ): Promise<void> {
    const { sequence, from, runs } = whole;
    const frames = runs.flatMap(({ epoch, timeline, bytes }) =>
      cut(bytes).map((payload) => ({ epoch, timeline, payload })),
    );
    const header = encodeFileHeader({ ...this.owner, sequence, firstLsn: from });
    const batch = batchOf(frames, { cipher: files.cipher, sequence, firstLsn: from });
    const path = files.pathOf(sequence);
    const early = `${path}.new`;
    await this.disk.remove(early);
    const file = await this.disk.open(early, "createSynced");
    try {
      await file.write(Buffer.concat([header, batch.bytes]), 0);
    } finally {
      await file.close();
    }
    await files.close();
    await this.disk.rename(early, path);
    await this.disk.syncFolder(files.folder);
  }
}

/** Frames of a size that the next flipped bit takes not too much with it. */
function cut(bytes: Uint8Array): Buffer[] {
  const count = Math.ceil(bytes.length / healedFrameBytes);
  return Array.from({ length: count }, (_, index) => {
    return Buffer.from(bytes.subarray(index * healedFrameBytes, (index + 1) * healedFrameBytes));
  });
}
const healedFrameBytes = 32 * 1024;
