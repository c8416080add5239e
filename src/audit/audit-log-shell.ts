import { messageOf } from "../base/errors.ts";
import {
  type Clock,
  type Disk,
  type DiskFile,
  type Logger,
  sleep,
  systemCodeOf,
} from "../io/index.ts";
import { lineOf, namesOf, renames } from "./rotation.ts";

export interface AuditLogOptions {
  readonly disk: Disk;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Its folder is made if there is none. */
  readonly file: string;
  /** At this size it becomes an older one. */
  readonly maxBytes: number;
  /** With the one that is written: the oldest makes room. */
  readonly filesMax: number;
  /** What waits to be written, at most; further records are lost, and counted. */
  readonly queueBytesMax?: number;
}

const retryMs = 1_000;
const pieceBytesMax = 256 * 1024;
const lookEveryMs = 1_000;
const newLine = 0x0a;

/**
 * Writes records down, one JSON document a line, while others go on: nobody waits for the disk. What it cannot write it keeps,
 * and tries again; what it cannot keep is counted, told in the log, and in the file as soon as that can be written.
 */
export class AuditLog {
  private readonly options: AuditLogOptions;
  private queue: Buffer[] = [];
  private queuedBytes = 0;
  private work: Promise<void> | undefined;
  private open: { readonly file: DiskFile; sizeBytes: number } | undefined;
  private lookedAtMs = 0;
  private isFailing = false;
  private isClosing = false;
  /** Lost, and not yet told in the file. */
  private untold = 0;
  lostCount = 0;

  constructor(options: AuditLogOptions) {
    this.options = options;
  }

  record(event: string, facts: Readonly<Record<string, unknown>>): void {
    const line = lineOf(this.options.clock.wallMs(), event, facts);
    const { queueBytesMax = 8 * 1024 * 1024 } = this.options;
    if (this.isClosing || this.queuedBytes + line.length > queueBytesMax) {
      this.lostCount++;
      if (this.untold++ === 0) this.options.logger.error({ event: "audit.losing" });
      return;
    }
    this.queue.push(line);
    this.queuedBytes += line.length;
    this.begin();
  }

  /** What waits is written, if it can be. */
  async close(): Promise<void> {
    this.isClosing = true;
    await this.work;
    if (this.queue.length > 0) await this.writeOut();
    await this.open?.file.close();
    this.open = undefined;
  }

  private begin(): void {
    this.work ??= this.writeOut().finally(() => {
      this.work = undefined;
      // Something may have come between its last look and this.
      if (this.queue.length > 0 && !this.isClosing) this.begin();
    });
  }

  private async writeOut(): Promise<void> {
    const { clock } = this.options;
    // Those of one turn of the event loop go out together.
    await Promise.resolve();
    while (this.queue.length > 0) {
      if (await this.tryPiece()) continue;
      if (this.isClosing) return;
      await sleep(clock, retryMs);
    }
  }

  /** False: not now. */
  private async tryPiece(): Promise<boolean> {
    const { logger, clock } = this.options;
    const { lines, bytes } = this.nextPiece();
    const gap = this.untold;
    const told = gap > 0 ? lineOf(clock.wallMs(), "audit.gap", { lost: gap }) : Buffer.alloc(0);
    try {
      const piece = Buffer.concat([...lines, told]);
      const open = await this.openFile(piece.length);
      await open.file.write(piece, open.sizeBytes);
      open.sizeBytes += piece.length;
    } catch (error) {
      if (!this.isFailing) {
        this.isFailing = true;
        const code = systemCodeOf(error);
        logger.error({ event: "audit.failed", code }, `${messageOf(error)}: records wait`);
      }
      // Half of a piece is none.
      await this.open?.file.truncate(this.open.sizeBytes).catch(() => undefined);
      await this.giveUp();
      return false;
    }
    this.queue = this.queue.slice(lines.length);
    this.queuedBytes -= bytes;
    this.untold -= gap;
    if (this.isFailing || gap > 0) logger.warn({ event: "audit.resumed", lost: gap });
    this.isFailing = false;
    return true;
  }

  private nextPiece(): { lines: Buffer[]; bytes: number } {
    const bytesMax = Math.min(pieceBytesMax, this.options.maxBytes / 2);
    const lines: Buffer[] = [];
    let bytes = 0;
    for (const line of this.queue) {
      if (lines.length > 0 && bytes + line.length > bytesMax) break;
      lines.push(line);
      bytes += line.length;
    }
    return { lines, bytes };
  }

  private async giveUp(): Promise<void> {
    const { open } = this;
    this.open = undefined;
    await open?.file.close().catch(() => undefined); // it is opened anew
  }

  /** With room for so much; more than a file takes goes into one of its own. */
  private async openFile(
    pieceBytes: number,
  ): Promise<{ readonly file: DiskFile; sizeBytes: number }> {
    const { clock, file, maxBytes } = this.options;
    const nowMs = clock.nowMs();
    if (this.open && nowMs - this.lookedAtMs >= lookEveryMs) {
      this.lookedAtMs = nowMs;
      // Somebody may have taken it away, or given it another name.
      const there = await this.options.disk.factsOf(file);
      if (there?.inode !== (await this.open.file.facts()).inode) await this.giveUp();
    }
    this.open ??= await this.openAnew(file);
    if (this.open.sizeBytes > 0 && this.open.sizeBytes + pieceBytes > maxBytes) {
      await this.giveUp();
      await this.rotate();
      this.open = await this.openAnew(file);
    }
    return this.open;
  }

  private async openAnew(path: string): Promise<{ readonly file: DiskFile; sizeBytes: number }> {
    const { disk } = this.options;
    await disk.createFolder(path.slice(0, path.lastIndexOf("/")));
    const isThere = (await disk.factsOf(path)) !== undefined;
    const file = await disk.open(path, isThere ? "write" : "create");
    const { sizeBytes } = await file.facts();
    const endBytes = await endOfLines(file, sizeBytes);
    if (endBytes < sizeBytes) await file.truncate(endBytes);
    return { file, sizeBytes: endBytes };
  }

  private async rotate(): Promise<void> {
    const { disk, file, filesMax } = this.options;
    const there = new Set<string>();
    for (const name of namesOf(file, filesMax)) if (await disk.factsOf(name)) there.add(name);
    if (filesMax === 1) await disk.remove(file);
    // More were kept before.
    for (let age = filesMax; await disk.factsOf(`${file}.${age}`); age++)
      await disk.remove(`${file}.${age}`);
    for (const { from, to } of renames(file, filesMax))
      if (there.has(from)) await disk.rename(from, to);
  }
}

/** Behind the last whole line: a process that was killed may have left half of one. Longer lines than looked at stay. */
async function endOfLines(file: DiskFile, sizeBytes: number): Promise<number> {
  const tail = Buffer.alloc(Math.min(sizeBytes, 64 * 1024));
  await file.read(tail, sizeBytes - tail.length);
  const end = tail.lastIndexOf(newLine);
  return end < 0 ? sizeBytes : sizeBytes - tail.length + end + 1;
}
