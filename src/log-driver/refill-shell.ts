import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { bytesBetween, type Lsn } from "../base/lsn.ts";
import { type Clock, sleep } from "../io/index.ts";
import type { History } from "../quorum/index.ts";
import type { LogTail } from "./log-tail.ts";
import type { LinkOwner, NodeEndpoint } from "./node-endpoint.ts";
import { VolumeReader } from "./volume-reader-shell.ts";

const pollMs = 5;

export interface KeptStretch {
  readonly nodes: readonly NodeEndpoint[];
  readonly owner: LinkOwner;
  /** The path that was left: nodes serve what they keep aside to who names it. */
  readonly path: History;
  readonly to: Lsn;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  /** Of the epoch that takes the log. */
  readonly vcl: () => Lsn;
  readonly onGrown: () => void;
  readonly onFailed: (why: string) => void;
}

/**
 * Brings the kept log from the tail's end up to `to` into the tail, which is a stretch of the stream like any other: no
 * faster than a write quorum takes it, since what it does not hold must not fall out of memory. Raises nothing: `onFailed` is
 * told when no node has the log, or it is not what it should be.
 */
export async function refillTail(tail: LogTail, stretch: KeptStretch): Promise<void> {
  const { nodes, owner, path, to, clock, signal } = stretch;
  const reader = new VolumeReader({ nodes, owner, clock, signal });
  try {
    while (tail.end < to && !signal.aborted) {
      const bytes = await reader.read({ path, from: tail.end, to });
      if (signal.aborted) return;
      const fault = tail.take(tail.end, bytes);
      if (fault !== undefined) throw new BorealisError(sqlState.dataCorrupted, fault);
      stretch.onGrown();
      const isFull = (): boolean => undurableBytes(tail, stretch.vcl()) > tail.limitBytes / 2;
      while (isFull() && !signal.aborted) await sleep(clock, pollMs, signal);
    }
  } catch (error) {
    stretch.onFailed(`the log that was kept aside cannot be read: ${messageOf(error)}`);
  } finally {
    reader.close();
  }
}

/** Before the first acknowledgement the VCL is nowhere. */
function undurableBytes(tail: LogTail, vcl: Lsn): number {
  return bytesBetween(vcl > tail.start ? vcl : tail.start, tail.end);
}
