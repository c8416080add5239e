import type { Epoch, NodeId, VolumeId } from "../base/ids.ts";
import { advance, bytesBetween, type Lsn, lsnMaxOf, lsnMin } from "../base/lsn.ts";
import { piecesOnPath } from "../acceptor/index.ts";
import { type Disk } from "../io/index.ts";
import { type History, type Pin, type Run, type Rules, trueRules } from "../quorum/index.ts";
import type { Ancestors } from "./ancestors.ts";
import { FrameBatch, type NewFrame } from "./frame-batch.ts";
import { encodeFileHeader, frameHeaderBytes } from "./frame.ts";
import { type KeptFolder, keptFolderName, parseKeptFolder, unfinished } from "./kept-folder.ts";
import type { LogCipher } from "./log-cipher.ts";
import { isShortage, LogFiles } from "./log-files-shell.ts";
import { readLog } from "./log-reader-shell.ts";
import { RottenLog } from "./read-failures.ts";
import { runBytes } from "./scrub-plan.ts";
import { SegmentTable } from "./segment-table.ts";

/** A log file under the name that it has in the log. */
export interface SourceFile {
  readonly sequence: number;
  readonly path: string;
}

/** A stretch of log in a folder of its own. */
export interface KeptPart extends KeptFolder {
  readonly path: string;
  /** Whose it is; undefined: a tail that a backtrack cut off. */
  readonly pinId: string | undefined;
  readonly files: LogFiles;
  /** What it has of its range, once it was looked at. */
  table: SegmentTable | undefined;
}

/**
 * Log beside the log: what a backtrack cut off (`retired/EPOCH-FROM-TO`), and what clones hold (`pins/ID/FROM-TO`). A
 * part is a folder of log files, mostly further names of files of the log, so that nothing is copied, and nothing that
 * happens to the log reaches it. The folder's name says which bytes of its files count. It is made under another name
 * and renamed when all is in it, so a crash leaves it whole or not at all.
 */
export class KeptLog {
  private readonly options: KeptLogOptions;
  private parts: KeptPart[] = [];

  private constructor(options: KeptLogOptions) {
    this.options = options;
  }

  /** Finds what is kept; what was not finished, and pins that the state does not have, go. */
  static async open(options: KeptLogOptions, pins: readonly Pin[]): Promise<KeptLog> {
    const kept = new KeptLog(options);
    const { disk, retiredDir, pinsDir } = options;
    await disk.createFolder(retiredDir);
    await disk.createFolder(pinsDir);
    await kept.findParts(retiredDir, undefined);
    for (const pinId of await disk.list(pinsDir)) {
      if (pins.some((pin) => pin.pinId === pinId))
        await kept.findParts(`${pinsDir}/${pinId}`, pinId);
      else await disk.removeFolder(`${pinsDir}/${pinId}`);
    }
    return kept;
  }

  private async findParts(dir: string, pinId: string | undefined): Promise<void> {
    const { disk } = this.options;
    for (const name of await disk.list(dir)) {
      const folder = parseKeptFolder(name);
      if (folder) this.parts.push(this.partAt(`${dir}/${name}`, folder, pinId));
      else await disk.removeFolder(`${dir}/${name}`);
    }
  }

  private partAt(path: string, folder: KeptFolder, pinId: string | undefined): KeptPart {
    return { ...folder, path, pinId, files: this.filesIn(path), table: undefined };
  }

  /** What there is to be read through by a scrub. */
  get all(): readonly KeptPart[] {
    return this.parts;
  }

  /** How far this pin's log is kept, from its beginning on. */
  keptTo(pin: Pin): Lsn {
    const parts = this.parts.filter((part) => part.pinId === pin.pinId);
    parts.sort((a, b) => (a.from < b.from ? -1 : a.from > b.from ? 1 : 0));
    return parts.reduce((at, part) => (part.from <= at ? lsnMaxOf(at, part.to) : at), pin.from);
  }

  /** Keeps aside what the Elect of `epoch` cuts off. Done before is done. */
  async retire(
    epoch: Epoch,
    range: { readonly from: Lsn; readonly to: Lsn },
    sources: readonly SourceFile[],
  ): Promise<void> {
    const dir = this.options.retiredDir;
    await this.link({ dir, pinId: undefined, folder: { ...range, epoch } }, sources);
  }

  /** Further names for these files, which hold the pin's log [from, to). */
  async linkPin(
    pin: Pin,
    range: { readonly from: Lsn; readonly to: Lsn },
    sources: readonly SourceFile[],
  ): Promise<void> {
    const { pinId } = pin;
    const dir = `${this.options.pinsDir}/${pinId}`;
    await this.link({ dir, pinId, folder: { ...range, epoch: undefined } }, sources);
  }

  /** Links what a retired tail has of the pin's path from `from` on; one tail at a time. */
  async linkRetired(pin: Pin, from: Lsn): Promise<void> {
    for (const part of this.parts) {
      if (part.pinId !== undefined || part.from > from || from >= part.to) continue;
      const to = await this.agreesTo(part, pin.path, { from, to: lsnMin(part.to, pin.to) });
      if (to === from) continue;
      const table = await this.tableOf(part);
      const sources = table.within(from, to).map(({ sequence }) => {
        return { sequence, path: part.files.pathOf(sequence) };
      });
      return this.linkPin(pin, { from, to }, sources);
    }
  }

  private async agreesTo(part: KeptPart, path: History, range: { from: Lsn; to: Lsn }) {
    let at = range.from;
    while (at < range.to) {
      const runs = await this.readPart(part, {
        path,
        from: at,
        to: range.to,
        limitBytes: readBytes,
      });
      if (runs.length === 0) break;
      at = advance(at, runBytes(runs));
    }
    return at;
  }

  private async link(
    what: {
      readonly dir: string;
      readonly pinId: string | undefined;
      readonly folder: KeptFolder;
    },
    sources: readonly SourceFile[],
  ): Promise<void> {
    const { disk } = this.options;
    await this.make(what, async (path) => {
      for (const source of sources) {
        await disk.link(source.path, this.filesIn(path).pathOf(source.sequence));
      }
    });
  }

  /** Keeps a peer's bytes for the pin. False: there was no space. */
  async writePin(pin: Pin, lsn: Lsn, runs: readonly Run[]): Promise<boolean> {
    const { pinId } = pin;
    const { disk, owner, cipher } = this.options;
    const frames = runs.map(({ epoch, timeline, bytes }) => {
      // A run of a message is borrowed from it; the frame is built, and written, before this returns to its sender.
      return { epoch, timeline, payload: Buffer.from(bytes) };
    });
    const batch = batchOf(frames, { cipher, sequence: 1, firstLsn: lsn });
    const folder = { epoch: undefined, from: lsn, to: batch.endLsn };
    try {
      await this.make({ dir: `${this.options.pinsDir}/${pinId}`, pinId, folder }, async (path) => {
        const header = encodeFileHeader({ ...owner, sequence: 1, firstLsn: lsn });
        const file = await disk.open(this.filesIn(path).pathOf(1), "createSynced");
        try {
          await file.write(Buffer.concat([header, batch.bytes]), 0);
        } finally {
          await file.close();
        }
      });
      return true;
    } catch (error) {
      if (!isShortage(error)) throw error;
      return false;
    }
  }

  private filesIn(folder: string): LogFiles {
    const { disk, owner, segmentBytes, cipher, ancestors } = this.options;
    return new LogFiles({ disk, folder, ...owner, segmentBytes, cipher, ancestors });
  }

  private async make(
    what: {
      readonly dir: string;
      readonly pinId: string | undefined;
      readonly folder: KeptFolder;
    },
    fill: (path: string) => Promise<void>,
  ): Promise<void> {
    const { disk } = this.options;
    const path = `${what.dir}/${keptFolderName(what.folder)}`;
    if (this.parts.some((part) => part.path === path)) return;
    const early = `${path}${unfinished}`;
    await disk.removeFolder(early);
    await disk.createFolder(early);
    try {
      await fill(early);
    } catch (error) {
      await disk.removeFolder(early);
      throw error;
    }
    await disk.syncFolder(early);
    await disk.rename(early, path);
    await disk.syncFolder(what.dir);
    await disk.syncFolder(this.options.pinsDir);
    await disk.syncFolder(this.options.retiredDir);
    this.parts.push(this.partAt(path, what.folder, what.pinId));
  }

  /** What the pin kept goes; the state does not have it any more. */
  async dropPin(pinId: string): Promise<void> {
    await this.drop((part) => part.pinId === pinId);
    await this.options.disk.removeFolder(`${this.options.pinsDir}/${pinId}`);
  }

  /** Retired tails that nobody can ask for any more go (decisions.md). */
  async dropRetired(base: Lsn, rules: Pick<Rules, "mayDropRetired"> = trueRules): Promise<void> {
    await this.drop(
      (part) => part.pinId === undefined && rules.mayDropRetired({ from: part.from, base }),
    );
  }

  /** These parts go: they are not wanted, or rotten and to be made again. */
  async drop(isDropped: (part: KeptPart) => boolean): Promise<void> {
    const { disk } = this.options;
    const dropped = this.parts.filter(isDropped);
    this.parts = this.parts.filter((part) => !dropped.includes(part));
    for (const part of dropped) {
      await part.files.close();
      // First the name by which it counts, then the rest: half a part is none.
      await disk.rename(part.path, `${part.path}${unfinished}`);
      await disk.removeFolder(`${part.path}${unfinished}`);
    }
  }

  /**
   * Bytes of `path` from `from` on, out of one part; none if no part has the first of them. Rot makes a part have less,
   * never something else: every byte is read under its CRC and taken for its epoch.
   */
  async read(wanted: KeptRange & { readonly onlyPins: boolean }): Promise<Run[]> {
    for (const part of this.parts) {
      if (wanted.onlyPins && part.pinId === undefined) continue;
      if (part.from > wanted.from || wanted.from >= part.to) continue;
      try {
        const runs = await this.readPart(part, wanted);
        if (runs.length > 0) return runs;
      } catch (error) {
        if (!(error instanceof RottenLog)) throw error;
        if (this.parts.includes(part)) this.options.onRot(part, error);
      }
    }
    return [];
  }

  /** The files of a part, each with the log that counts in it. */
  async filesOf(part: KeptPart) {
    const table = await this.tableOf(part);
    return table.all.map((segment, index) => {
      const { sequence, firstLsn } = segment;
      const to = lsnMin(table.all[index + 1]?.firstLsn ?? part.to, part.to);
      return { sequence, firstLsn, from: firstLsn, to };
    });
  }

  /** Reads [from, to) of a part; gives the bytes that it has. Raises RottenLog for what it should have. */
  async checkPart(
    part: KeptPart,
    range: { readonly from: Lsn; readonly to: Lsn },
  ): Promise<number> {
    const table = await this.tableOf(part);
    let at = range.from;
    while (at < range.to) {
      const runs = await readLog(part.files, table, {
        from: at,
        to: range.to,
        limitBytes: readBytes,
      });
      const bytes = runBytes(runs);
      if (bytes === 0) throw new RottenLog(at, "its file is gone");
      at = advance(at, bytes);
    }
    return bytesBetween(range.from, range.to);
  }

  private async readPart(part: KeptPart, wanted: KeptRange): Promise<Run[]> {
    const { path, from, limitBytes } = wanted;
    const to = lsnMin(wanted.to, part.to);
    const table = await this.tableOf(part);
    const runs = await readLog(part.files, table, { from, to, limitBytes });
    const isSame = (epoch: Epoch, expected: Epoch): boolean => epoch === expected;
    const pieces = piecesOnPath(path, from, { lsn: from, runs }, isSame);
    return pieces.map(({ run, bytes }) => ({ ...run, bytes }));
  }

  private async tableOf(part: KeptPart): Promise<SegmentTable> {
    if (part.table) return part.table;
    const table = new SegmentTable();
    for (const { sequence, header } of await part.files.find()) {
      if (header.kind === "good") table.push(sequence, header.header.firstLsn);
    }
    part.table = table;
    return table;
  }

  async close(): Promise<void> {
    for (const part of this.parts) await part.files.close();
  }
}

const readBytes = 1024 * 1024;

interface KeptRange {
  readonly path: History;
  readonly from: Lsn;
  readonly to: Lsn;
  readonly limitBytes: number;
}

export interface KeptLogOptions {
  readonly disk: Disk;
  readonly retiredDir: string;
  readonly pinsDir: string;
  readonly owner: { readonly volumeId: VolumeId; readonly nodeId: NodeId };
  readonly segmentBytes: number;
  readonly cipher: LogCipher;
  readonly ancestors: Ancestors;
  readonly onRot: (part: KeptPart, error: RottenLog) => void;
}

/** Frames one behind the other, for a file that begins with them. */
export function batchOf(
  frames: readonly NewFrame[],
  file: { readonly cipher: LogCipher; readonly sequence: number; readonly firstLsn: Lsn },
): FrameBatch {
  const { cipher, sequence, firstLsn } = file;
  const bytes = frames.reduce((sum, frame) => sum + frameHeaderBytes + frame.payload.length, 0);
  const sealer = cipher.sealerFor(() => ({ fd: -1, at: 0, sequence, firstLsn }));
  const batch = new FrameBatch(Buffer.allocUnsafe(bytes), firstLsn, sealer);
  for (const frame of frames) batch.add(frame);
  return batch;
}
