import { messageOf } from "../base/errors.ts";
import { dataDirOf } from "../engine/index.ts";
import { connectRpc, type DiskFile, realDisk, sleep, systemCodeOf } from "../io/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import { type FileStretch, stretchesOf, unpackRanges } from "./hot-blocks.ts";
import { type AgentConfig, hotBlocksSchema } from "./messages.ts";

const pieceBytes = 256 * 1024;
/** After so much others get the disk and this process for a moment. */
const stretchBytesMax = 8 * 1024 * 1024;
const restMs = 10;
const askTimeoutMs = 30_000;

/**
 * Cluster cache management (Aurora has it for the reader of tier 0): what the writer has in its shared buffers is read
 * from this reader's own files, so that it lies in the operating system's memory when the reader is promoted. What replay
 * changes is in memory anyway; this is for what is only read. One round at a time, and a tenth of the time at most.
 */
export class WarmKeeper {
  private readonly config: AgentConfig;
  private readonly deps: AgentDeps;
  private isAtIt = false;
  private hasTold = false;
  private restUntilMs = 0;

  constructor(config: AgentConfig, deps: AgentDeps) {
    this.config = config;
    this.deps = deps;
  }

  /** Begins a round, if none is under way. `writerAgentSocket`: of whoever writes now. */
  async warm(writerAgentSocket: string, stop: AbortSignal): Promise<void> {
    const { clock, logger } = this.deps;
    const beganMs = clock.nowMs();
    if (this.isAtIt || beganMs < this.restUntilMs) return;
    this.isAtIt = true;
    try {
      const stretches = await this.askFor(writerAgentSocket, stop);
      const bytes = await this.readAll(stretches, stop);
      const tookMs = clock.nowMs() - beganMs;
      this.restUntilMs = clock.nowMs() + 9 * tookMs;
      const facts = { event: "cache.warmed", bytes, stretches: stretches.length };
      const told = { ...facts, tookMs: Math.round(tookMs) };
      if (this.hasTold) logger.debug(told);
      else logger.info(told);
      this.hasTold = true;
    } catch (error) {
      logger.debug({ event: "cache.notWarmed" }, messageOf(error));
    } finally {
      this.isAtIt = false;
    }
  }

  private async askFor(path: string, signal: AbortSignal): Promise<FileStretch[]> {
    const client = await connectRpc({ kind: "unix", path }, { timeoutMs: 1_000, signal });
    const onAbort = (): void => client.close();
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      const answer = await client.call("hotBlocks", {}, { timeoutMs: askTimeoutMs });
      return unpackRanges(hotBlocksSchema.parse(answer)).flatMap(stretchesOf);
    } finally {
      signal.removeEventListener("abort", onAbort);
      client.close();
    }
  }

  /** Gives how many bytes there were: a relation that is gone, or not there yet, is passed over. */
  private async readAll(stretches: readonly FileStretch[], stop: AbortSignal): Promise<number> {
    const dataDir = dataDirOf(this.config.instanceDir);
    const into = Buffer.allocUnsafe(pieceBytes);
    let totalBytes = 0;
    let sinceRestBytes = 0;
    for (const [name, some] of inFiles(stretches)) {
      const file = await openIfThere(`${dataDir}/${name}`);
      if (!file) continue;
      try {
        for (const stretch of some) {
          const bytes = await readStretch(file, stretch, into);
          totalBytes += bytes;
          sinceRestBytes += bytes;
          if (stop.aborted) return totalBytes;
          if (sinceRestBytes < stretchBytesMax) continue;
          sinceRestBytes = 0;
          await sleep(this.deps.clock, restMs, stop);
        }
      } finally {
        await file.close();
      }
    }
    return totalBytes;
  }
}

function inFiles(stretches: readonly FileStretch[]): Map<string, FileStretch[]> {
  const files = new Map<string, FileStretch[]>();
  for (const stretch of stretches) {
    const those = files.get(stretch.file);
    if (those) those.push(stretch);
    else files.set(stretch.file, [stretch]);
  }
  return files;
}

async function openIfThere(path: string): Promise<DiskFile | undefined> {
  try {
    return await realDisk.open(path, "read");
  } catch (error) {
    if (systemCodeOf(error) === "ENOENT") return undefined;
    throw error;
  }
}

async function readStretch(file: DiskFile, stretch: FileStretch, into: Buffer): Promise<number> {
  let done = 0;
  while (done < stretch.bytes) {
    const piece = into.subarray(0, Math.min(into.length, stretch.bytes - done));
    const bytes = await file.read(piece, stretch.atBytes + done);
    done += bytes;
    if (bytes < piece.length) break; // it was cut off meanwhile
  }
  return done;
}
