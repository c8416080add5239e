import fs from "node:fs";
import { promisify } from "node:util";
import { BorealisError, sqlState } from "../base/errors.ts";

/** What tells whether a file is still the one that was opened, and still has a name. */
export interface FileFacts {
  readonly sizeBytes: number;
  readonly inode: bigint;
  readonly links: number;
  /** When it was last written to, in milliseconds of the Unix epoch. */
  readonly modifiedAtMs: number;
}

/** One open file. `at` is a byte offset in it; every verb works on all the bytes given or fails. */
export interface DiskFile {
  readonly path: string;
  /** For lending to a thread that uses the blocking verbs below; the owner closes it. */
  readonly fd: number;
  /** Fills `into` from `at` on; fewer bytes than asked for only at the file's end. */
  read(into: Uint8Array, at: number): Promise<number>;
  write(bytes: Uint8Array, at: number): Promise<void>;
  sync(): Promise<void>;
  truncate(sizeBytes: number): Promise<void>;
  facts(): Promise<FileFacts>;
  close(): Promise<void>;
}

/**
 * `read`: must exist. `write`: must exist, read and write. `create`: must not exist. `synced` on top of either: every
 * write returns only when its bytes are on the disk (O_DSYNC).
 */
export type OpenMode = "read" | "write" | "create" | "writeSynced" | "createSynced";

/** Files and folders, so that a simulator can stand in. Failures are the system's own errors, with their `code`. */
export interface Disk {
  open(path: string, mode: OpenMode): Promise<DiskFile>;
  createFolder(path: string): Promise<void>;
  /** Names in a folder, sorted; an absent folder has none. */
  list(path: string): Promise<string[]>;
  /** Undefined: no such file. */
  readWhole(path: string): Promise<Buffer | undefined>;
  /** Facts of whatever the path names now; undefined: nothing. */
  factsOf(path: string): Promise<FileFacts | undefined>;
  remove(path: string): Promise<void>;
  /** With everything in it; nothing there is no failure. */
  removeFolder(path: string): Promise<void>;
  /** A second name for a file; `to` must not exist. */
  link(from: string, to: string): Promise<void>;
  /** Atomic; `to` must not be a folder with something in it. */
  rename(from: string, to: string): Promise<void>;
  /** Makes creations and removals in a folder durable. */
  syncFolder(path: string): Promise<void>;
  /** Room for this user on the file system that holds the path. */
  freeBytes(path: string): Promise<number>;
}

const { O_RDONLY, O_RDWR, O_CREAT, O_EXCL, O_DSYNC } = fs.constants;
const flagsOf: Record<OpenMode, number> = {
  read: O_RDONLY,
  write: O_RDWR,
  create: O_RDWR | O_CREAT | O_EXCL,
  writeSynced: O_RDWR | O_DSYNC,
  createSynced: O_RDWR | O_CREAT | O_EXCL | O_DSYNC,
};

const openFile = promisify(fs.open);
const closeFile = promisify(fs.close);
const syncFile = promisify(fs.fsync);
const syncFileData = promisify(fs.fdatasync);
const truncateFile = promisify(fs.ftruncate);

export const realDisk: Disk = {
  async open(path, mode) {
    return new RealFile(path, await openFile(path, flagsOf[mode], 0o600));
  },
  async createFolder(path) {
    await fs.promises.mkdir(path, { recursive: true, mode: 0o700 });
  },
  async list(path) {
    const names = await orUndefinedIfAbsent(fs.promises.readdir(path));
    return (names ?? []).toSorted();
  },
  readWhole: (path) => orUndefinedIfAbsent(fs.promises.readFile(path)),
  async factsOf(path) {
    const stats = await orUndefinedIfAbsent(fs.promises.stat(path, { bigint: true }));
    return stats && factsFrom(stats);
  },
  remove: (path) => fs.promises.rm(path, { force: true }),
  removeFolder: (path) => fs.promises.rm(path, { force: true, recursive: true }),
  link: (from, to) => fs.promises.link(from, to),
  rename: (from, to) => fs.promises.rename(from, to),
  async syncFolder(path) {
    const fd = await openFile(path, O_RDONLY);
    try {
      await syncFile(fd);
    } finally {
      await closeFile(fd);
    }
  },
  async freeBytes(path) {
    const { bavail, bsize } = await fs.promises.statfs(path);
    return bavail * bsize;
  },
};

async function orUndefinedIfAbsent<T>(asked: Promise<T>): Promise<T | undefined> {
  try {
    return await asked;
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

function factsFrom(stats: fs.BigIntStats): FileFacts {
  const { size, ino, nlink, mtimeMs } = stats;
  return {
    sizeBytes: Number(size),
    inode: ino,
    links: Number(nlink),
    modifiedAtMs: Number(mtimeMs),
  };
}

class RealFile implements DiskFile {
  readonly path: string;
  readonly fd: number;
  private isOpen = true;

  constructor(path: string, fd: number) {
    this.path = path;
    this.fd = fd;
  }

  async read(into: Uint8Array, at: number): Promise<number> {
    let done = 0;
    while (done < into.length) {
      const count = await readOnce(this.fd, into, { from: done, at: at + done });
      if (count === 0) break;
      done += count;
    }
    return done;
  }

  async write(bytes: Uint8Array, at: number): Promise<void> {
    for (let done = 0; done < bytes.length;) {
      done += await writeOnce(this.fd, bytes, { from: done, at: at + done });
    }
  }

  sync(): Promise<void> {
    return syncFileData(this.fd);
  }
  truncate(sizeBytes: number): Promise<void> {
    return truncateFile(this.fd, sizeBytes);
  }
  facts(): Promise<FileFacts> {
    return new Promise((resolve, reject) => {
      fs.fstat(this.fd, { bigint: true }, (error, stats) =>
        error ? reject(error) : resolve(factsFrom(stats)),
      );
    });
  }
  async close(): Promise<void> {
    if (!this.isOpen) return;
    this.isOpen = false;
    await closeFile(this.fd);
  }
}

interface Span {
  readonly from: number;
  readonly at: number;
}

function readOnce(fd: number, into: Uint8Array, span: Span): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.read(fd, into, span.from, into.length - span.from, span.at, (error, count) =>
      error ? reject(error) : resolve(count),
    );
  });
}

function writeOnce(fd: number, bytes: Uint8Array, span: Span): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(fd, bytes, span.from, bytes.length - span.from, span.at, (error, count) =>
      error ? reject(error) : resolve(count),
    );
  });
}

/** The system's name of an error ("ENOSPC"); undefined for anything else. */
export function systemCodeOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}

/**
 * The blocking verbs: for threads whose whole life is one loop of system calls (decisions.md D7), never for an event
 * loop. `fd` is a socket taken out of the loop, or a file's.
 */
export const blocking = {
  /** Waits for bytes; 0 means that the peer has finished. */
  read(fd: number, into: Uint8Array, from: number): number {
    return fs.readSync(fd, into, from, into.length - from, null);
  },
  /** Writes all of it, to a socket. */
  write(fd: number, bytes: Uint8Array): void {
    for (let done = 0; done < bytes.length;) {
      done += fs.writeSync(fd, bytes, done, bytes.length - done, null);
    }
  },
  /** Writes all of it, to a file at an offset. Raises BorealisError 58030; never try again after it. */
  writeAt(fd: number, bytes: Uint8Array, at: number): void {
    try {
      for (let done = 0; done < bytes.length;) {
        done += fs.writeSync(fd, bytes, done, bytes.length - done, at + done);
      }
    } catch (cause) {
      throw new BorealisError(sqlState.ioError, `cannot write ${bytes.length} bytes`, { cause });
    }
  },
};
