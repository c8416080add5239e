import { findLsn } from "../base/lsn.ts";
import { type InstanceStatus, LagHistory } from "../instance/index.ts";

/** Positions are told once a second by PostgreSQL, and twice by agents: less than this cannot be told from nothing. */
const noiseMs = 2_000;

/** How far a reader is behind, for the choice among readers. */
export interface Lag {
  /** Rounded down to 2, 4, 8 … seconds, so that proxies are not told all the time; 0: less, which may be nothing. */
  readonly lagMs: number;
  /** Beyond the bound: new sessions go elsewhere. */
  readonly isLagging: boolean;
}

const noLag: Lag = { lagMs: 0, isLagging: false };

/**
 * How far readers are behind what the writer says is durable. Seen from outside, so that it holds for a reader whose
 * PostgreSQL, feed or agent stands still and says nothing any more, too.
 */
export class LagWatch {
  private readonly lagMaxMs: number;
  private readonly history = new LagHistory();
  private readonly lagging = new Set<string>();

  /** `lagMaxMs`: the bound. */
  constructor(lagMaxMs: number) {
    this.lagMaxMs = lagMaxMs;
  }

  /** What the open writer told last; undefined: there is none. `nowMs`: monotonic. */
  noteWriter(writer: InstanceStatus | undefined, nowMs: number): void {
    const vdl = findLsn(writer?.vdl ?? "");
    if (writer?.role === "writer" && vdl !== undefined) this.history.note(vdl, nowMs);
  }

  /** Of one that has told where it is; it has come back when it is within half of the bound. */
  lagOf(status: InstanceStatus, nowMs: number): Lag {
    const replayed = findLsn(status.replayLsn ?? "");
    const wasLagging = this.lagging.delete(status.id);
    if (status.role !== "reader" || replayed === undefined) return noLag;
    const exactMs = this.history.lagMs(replayed, nowMs);
    const isLagging = exactMs > (wasLagging ? this.lagMaxMs / 2 : this.lagMaxMs);
    if (isLagging) this.lagging.add(status.id);
    return { lagMs: rounded(exactMs), isLagging };
  }
}

function rounded(exactMs: number): number {
  return exactMs < noiseMs ? 0 : noiseMs * 2 ** Math.floor(Math.log2(exactMs / noiseMs));
}
