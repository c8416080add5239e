import { DatabaseError, serialize } from "pg-protocol";
import { type BackendMessage, CopyDataMessage, DataRowMessage } from "pg-protocol/dist/messages.js";
import { Parser } from "pg-protocol/dist/parser.js";
import { BorealisError, ProtocolViolation, sqlState } from "../base/errors.ts";
import { type Timeline, timeline } from "../base/ids.ts";
import { findLsn, type Lsn } from "../base/lsn.ts";
import { type Clock, type Connection, dial, type Timer } from "../io/index.ts";
import { errorFromServer, type PgAddress, pgSocketPath } from "./client-shell.ts";
import { plainSession } from "./plain-session.ts";

/** Where a backup's bytes go. Views are borrowed until the call settles; nothing more is read before that. */
export interface BackupSink {
  /** A piece of the one tar archive. */
  onTar(bytes: Buffer): Promise<void>;
  onManifest(bytes: Buffer): Promise<void>;
  /** About how many bytes of the archive will come: PostgreSQL looks through its files for that before it sends them. */
  onSize?(bytes: number): void;
}

export interface BaseBackup {
  /** Redo starts here: log is needed from the start of the segment that holds it. */
  readonly startLsn: Lsn;
  readonly startTimeline: Timeline;
  /** The files are consistent from here on. They may hold what lies below it, and nothing beyond. */
  readonly endLsn: Lsn;
  readonly endTimeline: Timeline;
}

export interface BackupOptions {
  readonly address: PgAddress;
  readonly user: string;
  readonly applicationName: string;
  readonly sink: BackupSink;
  /**
   * The manifest of an earlier backup of the same system: only what changed since is sent (PostgreSQL 17 and later; raises
   * PostgreSQL's 55000 when it cannot tell).
   */
  readonly changesSince?: Uint8Array;
  /** Bytes a second that the sender sends at most; unlimited unless told. */
  readonly rateMax?: number;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Longer than a fast checkpoint takes, which comes before the first byte, and than the minute after which PostgreSQL gives up
 * on a summarizer that makes no progress; a frozen PostgreSQL never says more.
 */
const silenceMaxMs = 90_000;
/** One that takes the connection and then says nothing is frozen: the next source is asked. */
const greetingMaxMs = 3_000;

const kibi = 1024;
/** What MAX_RATE takes, in KiB a second. */
const rateLimits = { min: 32, max: 1024 * 1024 } as const;
/** Manifests are sent in messages of this size. */
const uploadBytes = 64 * 1024;

/** Without log: it is in the volume. WAIT false: nobody archives. */
function commandFor({ changesSince, rateMax, sink }: BackupOptions): string {
  const options = [
    "LABEL 'borealis'",
    `PROGRESS ${sink.onSize !== undefined}`,
    "CHECKPOINT 'fast'",
    "WAIT false",
    "MANIFEST 'yes'",
    "MANIFEST_CHECKSUMS 'CRC32C'",
  ];
  if (changesSince) options.push("INCREMENTAL");
  if (rateMax !== undefined) {
    const rate = Math.max(rateLimits.min, Math.min(rateLimits.max, Math.ceil(rateMax / kibi)));
    options.push(`MAX_RATE ${rate}`);
  }
  return `BASE_BACKUP (${options.join(", ")})`;
}

/** What the letter at the head of a CopyData means here. */
const part = { archive: 0x6e, manifest: 0x6d, data: 0x64, progress: 0x70 } as const;

/**
 * Takes a base backup from a PostgreSQL of ours. Raises 08006 when it cannot be reached or goes away, PostgreSQL's own
 * error (55000 when a standby was promoted meanwhile), or what the sink raised.
 */
export async function takeBaseBackup(options: BackupOptions): Promise<BaseBackup> {
  const { address, user, applicationName, signal } = options;
  const connection = await dial({ kind: "unix", path: pgSocketPath(address) }, { signal });
  const onAbort = (): void => connection.destroy(new Error("the backup was given up"));
  signal.addEventListener("abort", onAbort, { once: true });
  if (signal.aborted) onAbort();
  const startup = {
    user,
    replication: "true",
    application_name: applicationName,
    options: plainSession(address.major),
  };
  try {
    return await new BackupConversation(connection, options).run(serialize.startup(startup));
  } finally {
    signal.removeEventListener("abort", onAbort);
    connection.destroy();
  }
}

/** One backup: log in, ask, pass on what comes, at the pace of the sink. */
class BackupConversation {
  private readonly connection: Connection;
  private readonly options: BackupOptions;
  private silence: Timer | undefined;
  private readonly parser = new Parser();
  private readonly rows: (string | null)[][] = [];
  private target: "none" | "tar" | "manifest" = "none";
  private archives = 0;
  private asked: "nothing" | "upload" | "backup" = "nothing";
  private failure: BorealisError | undefined;

  constructor(connection: Connection, options: BackupOptions) {
    this.connection = connection;
    this.options = options;
  }

  run(startup: Uint8Array): Promise<BaseBackup> {
    const { connection } = this;
    return new Promise((resolve, reject) => {
      connection.onClose((error) => {
        this.silence?.cancel();
        const why = "PostgreSQL went away while it was backed up";
        reject(
          this.failure ?? new BorealisError(sqlState.connectionFailure, why, { cause: error }),
        );
      });
      connection.onEnd(() => connection.end());
      const takeAndReadOn = async (chunk: Buffer): Promise<void> => {
        this.silence?.cancel();
        connection.pause();
        try {
          const done = await this.take(chunk);
          if (done) return resolve(done);
          connection.resume();
          this.expectMore(silenceMaxMs);
        } catch (error) {
          reject(error instanceof Error ? error : new Error(String(error)));
        }
      };
      connection.onData((chunk) => void takeAndReadOn(chunk));
      connection.write(startup);
      this.expectMore(greetingMaxMs);
    });
  }

  private expectMore(withinMs: number): void {
    this.silence = this.options.clock.after(withinMs, () => {
      this.connection.destroy(new Error(`PostgreSQL said nothing for ${withinMs} ms`));
    });
  }

  /** Undefined: not at its end yet. */
  private async take(chunk: Buffer): Promise<BaseBackup | undefined> {
    const messages: BackendMessage[] = [];
    // Views of the parser's buffer, which changes at the next chunk; that one is not read before these are done with.
    this.parser.parse(chunk, (message) => messages.push(message));
    for (const message of messages) {
      if (message instanceof CopyDataMessage) await this.onCopyData(message.chunk);
      else if (message instanceof DataRowMessage) this.rows.push(message.fields);
      else if (message instanceof DatabaseError) this.failure = errorFromServer(message);
      else if (message.name === "copyInResponse") this.upload();
      else if (message.name === "readyForQuery") {
        if (this.failure) throw this.failure;
        if (this.asked === "backup") return this.result();
        this.ask();
      }
    }
    return undefined;
  }

  private ask(): void {
    const isUpload = this.asked === "nothing" && this.options.changesSince !== undefined;
    this.asked = isUpload ? "upload" : "backup";
    const command = isUpload ? "UPLOAD_MANIFEST" : commandFor(this.options);
    this.connection.write(serialize.query(command));
  }

  private upload(): void {
    const manifest = this.options.changesSince ?? new Uint8Array();
    for (let at = 0; at < manifest.length; at += uploadBytes) {
      const piece = manifest.subarray(at, at + uploadBytes);
      this.connection.write(
        serialize.copyData(Buffer.from(piece.buffer, piece.byteOffset, piece.length)),
      );
    }
    this.connection.write(serialize.copyDone());
  }

  private async onCopyData(body: Buffer): Promise<void> {
    const bytes = body.subarray(1);
    switch (body[0]) {
      case part.archive:
        if (++this.archives > 1) throw new ProtocolViolation("a backup with tablespaces");
        this.target = "tar";
        this.tellSize();
        return;
      case part.manifest:
        this.target = "manifest";
        return;
      case part.data:
        if (this.target === "none") throw new ProtocolViolation("backup data without an archive");
        return this.target === "tar"
          ? this.options.sink.onTar(bytes)
          : this.options.sink.onManifest(bytes);
      case part.progress:
        return;
      default:
        throw new ProtocolViolation(`backup message ${body[0] ?? 0}`);
    }
  }

  /** Of the only tablespace, in KiB: its row comes between the first result set and the archive. */
  private tellSize(): void {
    const size = this.rows[1]?.[2] ?? "";
    if (/^\d{1,12}$/.test(size)) this.options.sink.onSize?.(Number(size) * kibi);
  }

  /** The first result set says where the backup begins, the last where it ends; tablespaces lie between. */
  private result(): BaseBackup {
    const [first, last] = [this.rows[0], this.rows.at(-1)];
    const startLsn = findLsn(first?.[0] ?? "");
    const endLsn = findLsn(last?.[0] ?? "");
    if (startLsn === undefined || endLsn === undefined || this.archives !== 1) {
      throw new ProtocolViolation("BASE_BACKUP's answer is malformed");
    }
    return {
      startLsn,
      startTimeline: timeline(Number(first?.[1])),
      endLsn,
      endTimeline: timeline(Number(last?.[1])),
    };
  }
}
