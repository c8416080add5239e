import { BorealisError, sqlState } from "../base/errors.ts";
import type { NodeId, VolumeId } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import { type Disk, type DiskFile, systemCodeOf } from "../io/index.ts";
import { ancestorOf, type Ancestors } from "./ancestors.ts";
import { newFileBytes } from "./file-sizes.ts";
import { findFrames } from "./frame-scan.ts";
import type { LogCipher } from "./log-cipher.ts";
import {
  encodeFileHeader,
  type FileHeader,
  fileHeaderBytes,
  type FrameHeader,
  frameHeaderBytes,
  framePayloadBytesMax,
  isPayloadGood,
  type ParsedHeader,
  parseFileHeader,
  parseFrameHeader,
} from "./frame.ts";

/** Zeros are written in pieces of this, so that a commit's sync waits behind one piece at most. */
const zeroPieceBytes = 256 * 1024;
/** Open files for reading, at most. */
const readersMax = 6;

const frameBytesMax = frameHeaderBytes + framePayloadBytesMax;

/** A segment file as it was found on the disk. */
export interface FoundFile {
  readonly sequence: number;
  readonly header: ParsedHeader<FileHeader>;
}

/** A file for the log's end to come to. */
export interface NewFile {
  readonly file: DiskFile;
  readonly sizeBytes: number;
}

/** The node that wrote a file, as its header says. */
export interface FileOwner {
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
}

/** The folder of segment files: names, zero-filling, open files. Knows nothing of what the log means. */
export class LogFiles {
  private readonly disk: Disk;
  readonly folder: string;
  private readonly owner: FileOwner;
  readonly ancestors: Ancestors;
  /** Of files that were found and are not the node's own. */
  private readonly owners = new Map<number, FileOwner>();
  readonly segmentBytes: number;
  /** Opens their frames. */
  readonly cipher: LogCipher;
  /** How many rotten headers were written again. */
  healedHeaders = 0;
  /** Most recently used last. */
  private readonly readers = new Map<number, Reader>();

  constructor(options: {
    readonly disk: Disk;
    readonly folder: string;
    readonly volumeId: VolumeId;
    readonly nodeId: NodeId;
    readonly segmentBytes: number;
    readonly cipher: LogCipher;
    /** Whose files there may be beside the node's own: a clone's (ancestors.ts). */
    readonly ancestors: Ancestors;
  }) {
    this.disk = options.disk;
    this.folder = options.folder;
    this.owner = { volumeId: options.volumeId, nodeId: options.nodeId };
    this.ancestors = options.ancestors;
    this.segmentBytes = options.segmentBytes;
    this.cipher = options.cipher;
  }

  /** Who wrote this file: its frames are encrypted for that node. */
  ownerOf(sequence: number): FileOwner {
    return this.owners.get(sequence) ?? this.owner;
  }

  /** Up to where a file of the log may be log at all; undefined: to its end. */
  limitOf(sequence: number): Lsn | undefined {
    return ancestorOf(this.ancestors, sequence)?.to;
  }

  pathOf(sequence: number): string {
    return `${this.folder}/${String(sequence).padStart(10, "0")}.log`;
  }

  /**
   * All files by rising sequence, each with its header; a header of another disk raises BorealisError XX001. A header
   * that has rotted before a whole frame is written again: it says nothing that the name and the frame do not.
   */
  async find(): Promise<FoundFile[]> {
    const found: FoundFile[] = [];
    for (const name of await this.disk.list(this.folder)) {
      const digits = /^(\d{10})\.log$/.exec(name)?.[1];
      if (digits === undefined) continue;
      const sequence = Number(digits);
      const bytes = Buffer.alloc(fileHeaderBytes);
      const size = await this.read(sequence, bytes, 0);
      let header = parseFileHeader(bytes.subarray(0, size));
      if (header.kind === "bad" || header.kind === "blank")
        header = (await this.healHeader(sequence)) ?? header;
      if (header.kind === "good") this.noteOwner(header.header, sequence);
      found.push({ sequence, header });
    }
    return found;
  }

  /** Writes the header of a file from its first frame. Undefined: there is none that is whole. */
  async healHeader(sequence: number): Promise<ParsedHeader<FileHeader> | undefined> {
    const bytes = Buffer.alloc(frameBytesMax);
    const size = await this.read(sequence, bytes, fileHeaderBytes);
    const parsed = parseFrameHeader(bytes.subarray(0, size), 0);
    if (parsed.kind !== "good" || !isPayloadGood(parsed.header, bytes, frameHeaderBytes))
      return undefined;
    const file = { sequence, firstLsn: parsed.header.lsn };
    const header = { ...this.guessOwner(file, parsed.header, bytes), ...file };
    await this.writeHeader(header);
    this.healedHeaders++;
    return { kind: "good", header };
  }

  /** Of a file whose header has rotted: for whom its first frame opens. */
  private guessOwner(
    file: { readonly sequence: number; readonly firstLsn: Lsn },
    header: FrameHeader,
    bytes: Buffer,
  ): FileOwner {
    const { volumeId, nodeId } = ancestorOf(this.ancestors, file.sequence) ?? this.owner;
    const likely = { volumeId, nodeId };
    if (header.keyId === 0) return likely;
    const frame = { header, bytes, at: 0 };
    const all = [likely, this.owner, ...this.ancestors];
    return all.find((owner) => this.cipher.open({ ...file, owner }, frame) !== undefined) ?? likely;
  }

  /** Looks at the header of a file that is known. False: it had rotted, and is written anew. */
  async checkHeader(sequence: number, firstLsn: Lsn): Promise<boolean> {
    const bytes = Buffer.alloc(fileHeaderBytes);
    await this.read(sequence, bytes, 0);
    const wanted = { ...this.ownerOf(sequence), sequence, firstLsn };
    if (bytes.equals(encodeFileHeader(wanted))) return true;
    await this.writeHeader(wanted);
    this.healedHeaders++;
    return false;
  }

  /** Makes these frames ones that nobody takes for good; an ancestor's own future in its file is left alone. */
  async spoil(sequence: number, isBad: (lsn: Lsn, end: Lsn) => boolean): Promise<void> {
    const limit = this.limitOf(sequence);
    const bytes = Buffer.alloc(await this.sizeOf(sequence));
    await this.read(sequence, bytes, 0);
    const file = await this.openForAppend(sequence);
    try {
      for (const { header, at, end } of findFrames(bytes))
        if (isBad(header.lsn, end) && (limit === undefined || header.lsn < limit))
          await file.write(Buffer.from("ROT!"), at);
    } finally {
      await file.close();
    }
  }

  private async writeHeader(header: FileHeader): Promise<void> {
    const file = await this.openForAppend(header.sequence);
    try {
      await file.write(encodeFileHeader(header), 0);
    } finally {
      await file.close();
    }
  }

  /** Raises XX001 for a file that is neither the node's own nor an ancestor's. */
  private noteOwner(header: FileHeader, sequence: number): void {
    const isOf = (one: FileOwner): boolean =>
      header.volumeId === one.volumeId && header.nodeId === one.nodeId;
    const owner = [this.owner, ...this.ancestors].find(isOf);
    if (owner === this.owner) this.owners.delete(sequence);
    else if (owner) this.owners.set(sequence, owner);
    if (owner && header.sequence === sequence) return;
    const path = this.pathOf(sequence);
    throw new BorealisError(sqlState.dataCorrupted, `${path} is a log file of another node`, {
      hint: "a storage node's folder is never copied or merged with another; replace the node",
    });
  }

  /**
   * Makes the next file: zero-filled, so that writing into it changes neither its size nor its extents, and synced
   * with its name. Undefined: there is no space (or no file handle) for it now; nothing is left behind.
   */
  async allocate(sequence: number): Promise<NewFile | undefined> {
    const path = this.pathOf(sequence);
    const sizeBytes = newFileBytes(sequence, this);
    const zeros = Buffer.alloc(Math.min(zeroPieceBytes, sizeBytes));
    let file: DiskFile | undefined;
    try {
      await this.disk.remove(path);
      this.owners.delete(sequence);
      file = await this.disk.open(path, "createSynced");
      for (let at = 0; at < sizeBytes; at += zeros.length) {
        await file.write(zeros.subarray(0, Math.min(zeros.length, sizeBytes - at)), at);
      }
      await this.disk.syncFolder(this.folder);
      return { file, sizeBytes };
    } catch (error) {
      if (!isShortage(error)) throw error;
      await file?.close();
      await this.disk.remove(path);
      return undefined;
    }
  }

  /** Files keep the size that the setting had when they were made. */
  async sizeOf(sequence: number): Promise<number> {
    return (await this.disk.factsOf(this.pathOf(sequence)))?.sizeBytes ?? 0;
  }

  openForAppend(sequence: number): Promise<DiskFile> {
    return this.disk.open(this.pathOf(sequence), "writeSynced");
  }

  /** Reads from a file; fewer bytes than asked for only at its end. */
  async read(sequence: number, into: Uint8Array, at: number): Promise<number> {
    const reader = this.readers.get(sequence) ?? this.addReader(sequence);
    this.readers.delete(sequence);
    this.readers.set(sequence, reader);
    reader.users++;
    try {
      const file = await reader.file;
      return await file.read(into, at);
    } catch (error) {
      // It may be that only the opening failed: the next read tries that again.
      await this.forgetUnopened(sequence, reader);
      throw error;
    } finally {
      reader.users--;
      await this.closeUnused();
    }
  }

  private addReader(sequence: number): Reader {
    return { file: this.disk.open(this.pathOf(sequence), "read"), users: 0 };
  }

  /** Closes the least recently used files beyond the limit, never one that is being read. */
  private async closeUnused(): Promise<void> {
    for (const [sequence, reader] of this.readers) {
      if (this.readers.size <= readersMax) return;
      if (reader.users === 0) await this.closeReader(sequence, reader);
    }
  }

  private async forgetUnopened(sequence: number, reader: Reader): Promise<void> {
    const file = await reader.file.catch(() => undefined);
    if (file === undefined && this.readers.get(sequence) === reader) this.readers.delete(sequence);
  }

  private async closeReader(sequence: number, reader: Reader): Promise<void> {
    this.readers.delete(sequence);
    // One that could not be opened has told its users so, and there is nothing to close.
    const file = await reader.file.catch(() => undefined);
    await file?.close();
  }

  async remove(sequences: readonly number[]): Promise<void> {
    if (sequences.length === 0) return;
    for (const sequence of sequences) {
      const reader = this.readers.get(sequence);
      if (reader?.users === 0) await this.closeReader(sequence, reader);
      await this.disk.remove(this.pathOf(sequence));
    }
    await this.disk.syncFolder(this.folder);
  }

  async close(): Promise<void> {
    for (const [sequence, reader] of this.readers) await this.closeReader(sequence, reader);
  }
}

/** What more space, or fewer open files, would cure. */
export function isShortage(error: unknown): boolean {
  return shortages.has(systemCodeOf(error) ?? "");
}
const shortages: ReadonlySet<string> = new Set(["ENOSPC", "EDQUOT", "EMFILE", "ENFILE", "ENOMEM"]);

interface Reader {
  readonly file: Promise<DiskFile>;
  users: number;
}
