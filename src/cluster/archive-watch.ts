import { type Lsn, parseLsn } from "../base/lsn.ts";
import type { ArchiveReport } from "../keeper/index.ts";

/** What is known of the log's archive here. */
export class ArchiveWatch {
  private last: ArchiveReport | undefined;
  private latest: string | null = null;

  /**
   * Undefined: the keeper says nothing now. What it said stays true: an archive only grows, in one epoch. But a store may be another
   * one, which has no snapshot yet.
   */
  take(report: ArchiveReport | undefined): void {
    this.last = report ?? this.last;
    if (report?.hasBase === false) this.latest = null;
    else this.latest = report?.latestTime ?? this.latest;
  }

  /** Everything that was committed before can be restored; null: nobody has said so yet, or no snapshot is there to begin with. */
  get latestTime(): string | null {
    return this.latest;
  }

  /** From this moment on the volume can be restored; null: nobody has said so yet. */
  get earliestTime(): string | null {
    return this.last?.earliestTime ?? null;
  }

  /**
   * Up to where the volume's log is archived in this epoch of it: of an older one the archive may hold log that a backtrack
   * has removed, and not what came in its stead. Undefined: not known. "off": nobody archives.
   */
  archivedIn(epoch: number | undefined): Lsn | "off" | undefined {
    const { last } = this;
    if (last?.isOn === false) return "off";
    if (!last?.archivedLsn || last.epoch !== epoch) return undefined;
    return parseLsn(last.archivedLsn);
  }
}
