import { assert } from "../base/assert.ts";
import { crc32c } from "../base/crc32c.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { extentBytesMax } from "./extent-format.ts";
import { type CutExtent, ExtentPacker, type ExtentRef } from "./extent-packer.ts";
import { blockBytes, findIncrementalTarget, IncrementalFile } from "./incremental-file.ts";
import type { PackedPart, SnapshotFile, SnapshotManifest } from "./manifest.ts";
import { type Change, layOver, type Piece, PieceList, type Pieces } from "./pieces.ts";
import { VisibilityMaps } from "./visibility-map.ts";

export interface CutterOptions {
  /** An extent's id: the keyed hash of its plain bytes. */
  readonly address: (plain: Uint8Array) => string;
  /** A snapshot of the same volume and addressing: what it has is not stored again. */
  readonly previous: SnapshotManifest | undefined;
  /** The files are those of an incremental backup over `previous`. */
  readonly isIncremental: boolean;
}

/** What came under a name, to be compared with the sender's own list. */
export interface ReceivedFile {
  readonly sizeBytes: number;
  readonly crc: number;
}

export interface CutSnapshot {
  readonly directories: readonly string[];
  readonly files: readonly SnapshotFile[];
  readonly parts: ReadonlyMap<string, PackedPart>;
  /** Plain length of every extent that is named, by id. */
  readonly extents: ReadonlyMap<string, number>;
  /** Plain bytes of files that are in the previous snapshot's extents, or in another file of this one. */
  readonly sharedBytes: number;
}

interface WholeFile {
  readonly kind: "whole";
  readonly name: string;
  readonly sizeBytes: number;
  readonly pieces: PieceList<ExtentRef>;
  part: Buffer;
  partFill: number;
}
interface ChangedFile {
  readonly kind: "changed";
  readonly name: string;
  readonly sizeBytes: number;
  readonly target: string;
  readonly incremental: IncrementalFile;
  readonly changes: Change<ExtentRef>[];
}

interface DraftFile {
  readonly name: string;
  readonly crc: number | undefined;
  readonly pieces: Pieces<ExtentRef>;
}

/** Of a hash, as much as tells two parts apart for ever. */
const partKeyChars = 32;
/** A part is not taken over from an extent of which less than this is used: it would be kept for ever. */
const usedShareMin = 0.5;

/**
 * Cuts files into extents, pure. A MiB of a file that begins at a multiple of a MiB is an extent; what is shorter (small
 * files, ends of big ones) is packed with others, and found again by its hash when it comes unchanged the next time.
 * Changed blocks of incremental backups are packed too, and laid over the pieces of the previous snapshot. MiBs and blocks
 * of zeros are pieces without an extent.
 *
 * Feed it with directory, beginFile, bytes, endFile; store what takeReady gives; finish.
 */
export class SnapshotCutter {
  private readonly options: CutterOptions;
  private readonly packer: ExtentPacker;
  private readonly zeros = Buffer.alloc(extentBytesMax);
  private readonly refs = new Map<string, ExtentRef>();
  private readonly stored: Set<string>;
  private readonly parts = new Map<string, Piece<ExtentRef>>();
  private readonly oldParts: ReadonlyMap<string, PackedPart>;
  private readonly oldFiles: ReadonlyMap<string, SnapshotFile>;
  private readonly directories: string[] = [];
  private readonly files: DraftFile[] = [];
  private readonly maps = new VisibilityMaps();
  private readonly seen = new Map<string, ReceivedFile>();
  private ready: CutExtent[] = [];
  private sharedBytes = 0;
  private current: WholeFile | ChangedFile | undefined;
  private crc = 0;

  constructor(options: CutterOptions) {
    const { previous } = options;
    this.options = options;
    this.packer = new ExtentPacker((ref, plain) => this.emit(ref, plain));
    this.stored = new Set(previous?.extents.keys());
    this.oldParts = previous ? wellUsedParts(previous) : new Map();
    this.oldFiles = new Map(previous?.files.map((file) => [file.name, file]));
  }

  /** What came so far, by the name that it came under. */
  get received(): ReadonlyMap<string, ReceivedFile> {
    return this.seen;
  }

  directory(name: string): void {
    this.directories.push(name);
  }

  beginFile(name: string, sizeBytes: number): void {
    assert(!this.current, "files come one after the other");
    this.crc = 0;
    const target = this.options.isIncremental ? findIncrementalTarget(name) : undefined;
    if (target === undefined) {
      const pieces = new PieceList<ExtentRef>();
      const part = Buffer.alloc(0);
      this.current = { kind: "whole", name, sizeBytes, pieces, part, partFill: 0 };
      return;
    }
    const incremental = new IncrementalFile(name, sizeBytes);
    this.current = { kind: "changed", name, sizeBytes, target, incremental, changes: [] };
  }

  /** The next bytes of the file begun last; borrowed until the call returns. */
  bytes(bytes: Buffer): void {
    const { current } = this;
    assert(current !== undefined, "bytes belong to a file");
    this.crc = crc32c(bytes, this.crc);
    if (current.kind === "whole") this.takeWhole(current, bytes);
    else this.takeChanged(current, bytes);
  }

  endFile(): void {
    const { current, crc } = this;
    assert(current !== undefined, "a file was begun");
    this.current = undefined;
    this.seen.set(current.name, { sizeBytes: current.sizeBytes, crc });
    if (current.kind === "whole") {
      this.endPart(current);
      const { name, pieces } = current;
      assert(pieces.lengthBytes === current.sizeBytes, "a file has the bytes that were announced");
      this.files.push({ name, crc, pieces: pieces.pieces });
      if (this.options.isIncremental) this.maps.noteWhole(name, current.sizeBytes);
    } else this.files.push(this.changedFile(current));
  }

  /** Extents to be stored: before the manifest is. */
  takeReady(): CutExtent[] {
    const { ready } = this;
    this.ready = [];
    return ready;
  }

  /** After the last file; takeReady once more after it. */
  finish(): CutSnapshot {
    assert(!this.current, "the last file is whole");
    this.packer.flush();
    const extents = new Map<string, number>();
    const settled = (pieces: Pieces<ExtentRef>): Pieces<string> =>
      pieces.map(({ extent, at, lengthBytes }) => {
        if (extent) extents.set(extent.id, extent.plainBytes);
        return { extent: extent?.id, at, lengthBytes };
      });
    const files = this.files.map((file) => {
      const { name, crc, pieces } = this.withoutDoubts(file);
      const sizeBytes = pieces.reduce((sum, piece) => sum + piece.lengthBytes, 0);
      return { name, sizeBytes, crc, pieces: settled(pieces) };
    });
    const parts = new Map<string, PackedPart>();
    for (const [key, { extent, at, lengthBytes }] of this.parts)
      if (extent) parts.set(key, { extent: extent.id, at, lengthBytes });
    const { directories, sharedBytes } = this;
    return { directories, files, parts, extents, sharedBytes };
  }

  private takeWhole(file: WholeFile, bytes: Buffer): void {
    for (let at = 0; at < bytes.length;) {
      if (file.part.length === 0) {
        const rest = file.sizeBytes - file.pieces.lengthBytes;
        file.part = Buffer.allocUnsafe(Math.min(rest, extentBytesMax));
      }
      const used = bytes.copy(file.part, file.partFill, at);
      assert(used > 0, "a file has no more bytes than were announced");
      file.partFill += used;
      at += used;
      if (file.partFill === file.part.length) this.endPart(file);
    }
  }

  private endPart(file: WholeFile): void {
    const { part, partFill } = file;
    assert(partFill === part.length, "a file has the bytes that were announced");
    if (partFill === 0) return;
    file.part = Buffer.alloc(0);
    file.partFill = 0;
    if (this.isZeros(part)) file.pieces.addZeros(part.length);
    else if (part.length === extentBytesMax) file.pieces.add(this.wholeExtent(part));
    else file.pieces.add(this.packedPart(part));
  }

  private wholeExtent(part: Buffer): Piece<ExtentRef> {
    const ref = { id: this.options.address(part), plainBytes: part.length };
    const extent = this.emitNamed(ref, part);
    return { extent, at: 0, lengthBytes: part.length };
  }

  private packedPart(part: Buffer): Piece<ExtentRef> {
    const key = this.options.address(part).slice(0, partKeyChars);
    const lengthBytes = part.length;
    const known = this.parts.get(key) ?? this.oldPart(key);
    if (known?.lengthBytes === lengthBytes) {
      this.parts.set(key, known);
      this.sharedBytes += lengthBytes;
      return known;
    }
    const piece = this.packer.add(part);
    this.parts.set(key, piece);
    return piece;
  }

  private oldPart(key: string): Piece<ExtentRef> | undefined {
    const old = this.oldParts.get(key);
    return old && { ...old, extent: this.oldExtent(old.extent) };
  }

  private takeChanged(file: ChangedFile, bytes: Buffer): void {
    for (const block of file.incremental.push(bytes)) {
      const isZero = this.isZeros(block.bytes);
      const piece = isZero
        ? { extent: undefined, at: 0, lengthBytes: blockBytes }
        : this.packer.add(block.bytes);
      this.maps.noteBlock(file.target, block.number);
      file.changes.push({ at: block.number * blockBytes, piece });
    }
  }

  private changedFile({ name, target, incremental, changes }: ChangedFile): DraftFile {
    incremental.end();
    const old = this.oldFiles.get(target);
    if (!old) {
      const why = `an incremental backup has ${name}, and the snapshot before it no ${target}`;
      throw new BorealisError(sqlState.dataCorrupted, why);
    }
    const { keepBytes } = incremental;
    const before = old.pieces.map(({ extent, at, lengthBytes }) => ({
      extent: extent === undefined ? undefined : this.oldExtent(extent),
      at,
      lengthBytes,
    }));
    const pieces = layOver(before, changes, keepBytes);
    const isUnchanged = changes.length === 0 && keepBytes === old.sizeBytes;
    this.sharedBytes += Math.max(0, old.sizeBytes - changes.length * blockBytes);
    return { name: target, crc: isUnchanged ? old.crc : undefined, pieces };
  }

  /** A visibility map says nothing of pages whose changes it may not know. */
  private withoutDoubts(file: DraftFile): DraftFile {
    const sizeBytes = file.pieces.reduce((sum, piece) => sum + piece.lengthBytes, 0);
    const zero = { extent: undefined, at: 0, lengthBytes: blockBytes };
    const changes = this.maps
      .doubtfulBlocks(file.name)
      .map((block) => ({ at: block * blockBytes, piece: zero }))
      .filter(({ at }) => at + blockBytes <= sizeBytes);
    if (changes.length === 0) return file;
    const pieces = layOver(file.pieces, changes, sizeBytes);
    return { name: file.name, crc: undefined, pieces };
  }

  private oldExtent(id: string): ExtentRef {
    const known = this.refs.get(id);
    if (known) return known;
    const plainBytes = this.options.previous?.extents.get(id)?.plainBytes;
    assert(plainBytes !== undefined, "a manifest lists every extent that it names");
    const ref = { id, plainBytes };
    this.refs.set(id, ref);
    return ref;
  }

  private emit(ref: ExtentRef, plain: Buffer): void {
    ref.id = this.options.address(plain);
    this.emitNamed(ref, plain);
  }

  /** The reference that stands for the extent's content from now on. */
  private emitNamed(ref: ExtentRef, plain: Buffer): ExtentRef {
    const { id } = ref;
    if (this.stored.has(id)) this.sharedBytes += plain.length;
    else this.ready.push({ id, plain });
    this.stored.add(id);
    const known = this.refs.get(id) ?? ref;
    this.refs.set(id, known);
    return known;
  }

  private isZeros(bytes: Buffer): boolean {
    return bytes.equals(this.zeros.subarray(0, bytes.length));
  }
}

/** The previous snapshot's parts, without those that lie in extents which are mostly dead by now. */
function wellUsedParts(previous: SnapshotManifest): Map<string, PackedPart> {
  const used = new Map<string, number>();
  for (const file of previous.files)
    for (const { extent, lengthBytes } of file.pieces)
      if (extent !== undefined) used.set(extent, (used.get(extent) ?? 0) + lengthBytes);
  const isWellUsed = ({ extent }: PackedPart): boolean => {
    const plainBytes = previous.extents.get(extent)?.plainBytes ?? 0;
    return (used.get(extent) ?? 0) >= plainBytes * usedShareMin;
  };
  return new Map([...previous.parts].filter(([, part]) => isWellUsed(part)));
}
