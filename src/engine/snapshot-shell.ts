/**
 * A snapshot taken from a running PostgreSQL: its base backup, cut into extents while it comes. Nothing is shared with other
 * work, so that it may run in a thread of its own, and should: hashing and sealing are most of it.
 */
import { crc32c } from "../base/crc32c.ts";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { Timeline, VolumeId } from "../base/ids.ts";
import { realClock } from "../io/index.ts";
import {
  automaticSnapshotId,
  backupManifestName,
  buildManifest,
  type CutSnapshot,
  type ExtentSealer,
  ExtentUpload,
  type LogPath,
  planMode,
  readSnapshotFile,
  type Replicas,
  SnapshotCutter,
  type SnapshotManifest,
} from "../volume/index.ts";
import { type BaseBackup, type PgAddress, takeBaseBackup } from "../wire/index.ts";
import { backupLabelName, wholeLabel } from "./backup-label.ts";
import { type ManifestFile, requireSameFiles } from "./backup-manifest.ts";
import { type ControlFile, parseControlFile } from "./control-file.ts";
import { bootstrapUser } from "./settings.ts";
import { type TarPart, TarReader } from "./tar.ts";

export interface TakeSnapshotOptions {
  /** A reader if there is one: a backup of the writer forces a checkpoint and ends its WAL segment. */
  readonly source: PgAddress;
  readonly postgresMajor: number;
  /** Where extents go, and the previous snapshot's backup manifest comes from. */
  readonly replicas: Replicas;
  readonly sealer: ExtentSealer;
  /** The newest snapshot that exists; undefined: there is none. */
  readonly previous: SnapshotManifest | undefined;
  /** The id of one that a user asked for; undefined: it is an automatic one. */
  readonly id: string | undefined;
  readonly volumeId: VolumeId;
  /** The path that the source follows. */
  readonly history: LogPath;
  /** Never an incremental one. */
  readonly mustBeFull?: boolean;
  /** Bytes a second that the source sends at most. */
  readonly rateMax?: number;
  readonly signal: AbortSignal;
}

export interface SnapshotProgress {
  /** Bytes that PostgreSQL sent. */
  readonly readBytes: number;
  /** As many as in the previous snapshot, if that says anything. */
  readonly expectedBytes: number | undefined;
  readonly storedBytes: number;
}

export interface TakenSnapshot {
  /** To be published once the volume has log up to its endLsn, on this timeline. */
  readonly manifest: SnapshotManifest;
  readonly endTimeline: Timeline;
  readonly figures: SnapshotFigures;
}

export interface SnapshotFigures {
  readonly mode: "full" | "incremental";
  /** Why it is a full one. */
  readonly reason: string | undefined;
  readonly readBytes: number;
  /** Of the extents that were put for it. */
  readonly storedBytes: number;
  readonly storedExtents: number;
  /** Bytes of its files that were stored already. */
  readonly sharedBytes: number;
  readonly tookMs: number;
}

const manifestBytesMax = 256 * 1024 * 1024;
const controlName = "global/pg_control";
const postgresSaysNo = sqlState.notInPrerequisiteState;

/**
 * Takes a snapshot; its extents are put, its manifest is not: the caller publishes it when VDL has reached endLsn. Incremental
 * where it can be (PostgreSQL 17 and later, over a snapshot with a backup manifest); if PostgreSQL refuses that, full.
 * Raises what takeBaseBackup and the stores raise; what was put by then is collected one day.
 */
export async function takeSnapshot(
  options: TakeSnapshotOptions,
  onProgress: (progress: SnapshotProgress) => void = () => {},
): Promise<TakenSnapshot> {
  const { sealer, postgresMajor, mustBeFull, history } = options;
  const { previous } = sharable(options);
  const mode = planMode(previous, {
    postgresMajor,
    addressing: sealer.addressing,
    path: history,
  });
  let reason = mustBeFull ? "it was asked for" : mode.kind === "full" ? mode.reason : undefined;
  if (reason === undefined && previous) {
    try {
      const changesSince = await backupManifestOf(previous, options);
      return await new SnapshotTaking(options, previous, changesSince, onProgress).run(undefined);
    } catch (error) {
      if (!mayTryFull(error)) throw error;
      reason = messageOf(error);
    }
  }
  return new SnapshotTaking(options, previous, undefined, onProgress).run(reason);
}

/** Extents under another address key are none that could be shared. */
function sharable({ previous, sealer }: TakeSnapshotOptions): {
  previous: SnapshotManifest | undefined;
} {
  return { previous: previous?.addressing === sealer.addressing ? previous : undefined };
}

async function backupManifestOf(
  previous: SnapshotManifest,
  { replicas, sealer }: TakeSnapshotOptions,
): Promise<Buffer> {
  const file = previous.files.find(({ name }) => name === backupManifestName);
  if (file) return readSnapshotFile(replicas, file, sealer);
  throw new BorealisError(postgresSaysNo, `snapshot ${previous.id} has no backup manifest`);
}

function mayTryFull(error: unknown): boolean {
  if (!(error instanceof BorealisError)) return false;
  return error.code === postgresSaysNo || error.code === sqlState.dataCorrupted;
}

/** One backup, from its first byte to its manifest. */
class SnapshotTaking {
  private readonly options: TakeSnapshotOptions;
  private readonly previous: SnapshotManifest | undefined;
  private readonly changesSince: Buffer | undefined;
  private readonly onProgress: (progress: SnapshotProgress) => void;
  private readonly expectedBytes: number | undefined;
  private readonly tar = new TarReader();
  private readonly cutter: SnapshotCutter;
  private readonly upload: ExtentUpload;
  private readonly backupManifest: Buffer[] = [];
  /** A small file that is looked into: pg_control, the label. */
  private held: { readonly name: string; readonly pieces: Buffer[] } | undefined;
  private control: Buffer | undefined;
  private label: ManifestFile | undefined;
  private manifestBytes = 0;
  private readBytes = 0;

  constructor(
    options: TakeSnapshotOptions,
    previous: SnapshotManifest | undefined,
    changesSince: Buffer | undefined,
    onProgress: (progress: SnapshotProgress) => void,
  ) {
    const { sealer, replicas } = options;
    this.options = options;
    this.previous = previous;
    this.changesSince = changesSince;
    this.onProgress = onProgress;
    const isIncremental = changesSince !== undefined;
    const before = isIncremental ? undefined : previous;
    this.expectedBytes = before?.files.reduce((sum, file) => sum + file.sizeBytes, 0);
    this.cutter = new SnapshotCutter({ address: sealer.idOf, previous, isIncremental });
    this.upload = new ExtentUpload({ sealer, store: replicas });
  }

  async run(reason: string | undefined): Promise<TakenSnapshot> {
    const { source, signal, rateMax } = this.options;
    const { changesSince, upload } = this;
    const startMs = realClock.nowMs();
    let backup: BaseBackup;
    try {
      backup = await takeBaseBackup({
        address: source,
        user: bootstrapUser,
        applicationName: "borealis_snapshot",
        clock: realClock,
        signal,
        ...(changesSince && { changesSince }),
        ...(rateMax !== undefined && { rateMax }),
        sink: {
          onTar: (bytes) => this.takeTar(bytes),
          onManifest: (bytes) => this.takeManifest(bytes),
        },
      });
      if (!this.tar.isComplete) throw damaged("its archive was cut off");
      await this.keepBackupManifest();
    } catch (error) {
      // Nobody may put anything once this has ended.
      await upload.finish().catch(() => undefined);
      throw error;
    }
    const cut = this.cutter.finish();
    await upload.add(this.cutter.takeReady());
    await upload.finish();
    const manifest = this.manifestOf(backup, cut);
    const { readBytes } = this;
    const { storedBytes, sizes } = upload;
    const figures = {
      mode: changesSince ? ("incremental" as const) : ("full" as const),
      reason,
      readBytes,
      storedBytes,
      storedExtents: sizes.size,
      sharedBytes: cut.sharedBytes,
      tookMs: realClock.nowMs() - startMs,
    };
    return { manifest, endTimeline: backup.endTimeline, figures };
  }

  private async takeTar(bytes: Buffer): Promise<void> {
    this.readBytes += bytes.length;
    for (const part of this.tar.push(bytes)) this.takePart(part);
    const ready = this.cutter.takeReady();
    if (ready.length > 0) await this.upload.add(ready);
    const { readBytes, upload, expectedBytes } = this;
    this.onProgress({ readBytes, expectedBytes, storedBytes: upload.storedBytes });
  }

  private takePart(part: TarPart): void {
    switch (part.kind) {
      case "directory":
        return this.cutter.directory(part.name);
      case "file":
        this.held = isLookedInto(part.name) ? { name: part.name, pieces: [] } : undefined;
        if (!this.held) this.cutter.beginFile(part.name, part.sizeBytes);
        return;
      case "bytes":
        if (this.held) this.held.pieces.push(Buffer.from(part.bytes));
        else this.cutter.bytes(part.bytes);
        return;
      case "fileEnd":
        return this.endFile();
    }
  }

  private endFile(): void {
    const { held } = this;
    this.held = undefined;
    if (!held) return this.cutter.endFile();
    const sent = Buffer.concat(held.pieces);
    if (held.name !== backupLabelName) {
      this.control = sent;
      return this.cutFile(held.name, sent);
    }
    this.label = { sizeBytes: sent.length, crc: crc32c(sent) };
    this.cutFile(held.name, wholeLabel(sent));
  }

  private cutFile(name: string, bytes: Buffer): void {
    this.cutter.beginFile(name, bytes.length);
    if (bytes.length > 0) this.cutter.bytes(bytes);
    this.cutter.endFile();
  }

  private takeManifest(bytes: Buffer): Promise<void> {
    this.manifestBytes += bytes.length;
    if (this.manifestBytes > manifestBytesMax) throw damaged("its manifest has no end");
    this.backupManifest.push(Buffer.from(bytes));
    return Promise.resolve();
  }

  /** Kept as a file among the others: the next incremental backup starts from it. */
  private async keepBackupManifest(): Promise<void> {
    const bytes = Buffer.concat(this.backupManifest);
    if (!this.label) throw damaged(`it has no ${backupLabelName}`);
    requireSameFiles(bytes, new Map([...this.cutter.received, [backupLabelName, this.label]]));
    this.cutFile(backupManifestName, bytes);
    await this.upload.add(this.cutter.takeReady());
  }

  private manifestOf(backup: BaseBackup, cut: CutSnapshot): SnapshotManifest {
    const { id, volumeId, history, sealer, postgresMajor } = this.options;
    const { startLsn, endLsn } = backup;
    const { systemIdentifier, catalogVersion } = this.controlFile();
    const takenAtMs = realClock.wallMs();
    const facts = {
      id: id ?? automaticSnapshotId(takenAtMs, startLsn),
      kind: id === undefined ? ("automatic" as const) : ("manual" as const),
      volumeId,
      history,
      startLsn,
      endLsn,
      takenAtMs,
      postgresMajor,
      catalogVersion,
      systemIdentifier,
      addressing: sealer.addressing,
    };
    return buildManifest({ facts, cut, previous: this.previous, put: this.upload.sizes });
  }

  private controlFile(): ControlFile {
    if (!this.control) throw damaged(`it has no ${controlName}`);
    return parseControlFile(this.control);
  }
}

function isLookedInto(name: string): boolean {
  return name === controlName || name === backupLabelName;
}

function damaged(why: string): BorealisError {
  return new BorealisError(sqlState.dataCorrupted, `a base backup cannot be used: ${why}`);
}
