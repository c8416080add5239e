/** How a long piece of work is getting on. */
export interface ProgressFacts {
  /** What is being done, in a few words: "unpacking the snapshot". */
  readonly step: string;
  readonly doneBytes: number;
  /** Null: nobody knows yet. */
  readonly totalBytes: number | null;
  /** Of the last seconds; null at the very beginning. */
  readonly bytesPerSecond: number | null;
  readonly secondsLeft: number | null;
}

interface Sample {
  readonly atMs: number;
  readonly doneBytes: number;
}

/** Long enough to be calm, short enough to follow a disk that slows down. */
const windowMs = 5_000;
/** A rate over less than this says nothing. */
const rateMinMs = 300;

/** The arithmetic of one step: bytes in, rate and time left out. Time comes from outside. */
export class ProgressMeter {
  private readonly step: string;
  private totalBytes: number | undefined;
  private samples: Sample[];

  constructor(step: string, totalBytes: number | undefined, nowMs: number) {
    this.step = step;
    this.totalBytes = totalBytes;
    this.samples = [{ atMs: nowMs, doneBytes: 0 }];
  }

  at(doneBytes: number, nowMs: number, totalBytes?: number): void {
    if (totalBytes !== undefined) this.totalBytes = totalBytes;
    this.samples.push({ atMs: nowMs, doneBytes });
    // One sample from before the window stays: the rate is over the whole of it.
    const first = this.samples.findLastIndex((one) => one.atMs <= nowMs - windowMs);
    if (first > 0) this.samples.splice(0, first);
    // A caller that reports each kilobyte must not make a long list: the middle is of no use.
    if (this.samples.length > 100) this.samples = this.samples.filter((_, i) => i % 2 === 0);
  }

  facts(nowMs: number): ProgressFacts {
    const { step, totalBytes, samples } = this;
    const doneBytes = samples.at(-1)?.doneBytes ?? 0;
    const first = samples[0] ?? { atMs: nowMs, doneBytes };
    const tookMs = nowMs - first.atMs;
    const bytesPerSecond =
      tookMs < rateMinMs ? null : Math.round(((doneBytes - first.doneBytes) * 1000) / tookMs);
    const isKnown = totalBytes !== undefined && bytesPerSecond !== null && bytesPerSecond > 0;
    return {
      step,
      doneBytes,
      totalBytes: totalBytes ?? null,
      bytesPerSecond,
      secondsLeft: isKnown ? Math.ceil(Math.max(0, totalBytes - doneBytes) / bytesPerSecond) : null,
    };
  }
}

/** `3.4 MiB`; bytes below a KiB as they are. */
export function formatBytes(bytes: number): string {
  const units = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let size = bytes;
  let unit = 0;
  while (size >= 1024 && unit < units.length - 1) {
    size /= 1024;
    unit++;
  }
  return `${unit === 0 ? size : size.toFixed(1)} ${units[unit] ?? ""}`;
}

/** `unpacking the snapshot: 412.0 MiB of 1.1 GiB (37 %), 148.2 MiB/s, 5 s left`; of no bytes `stopping the cluster ...`. */
export function describeProgress(facts: ProgressFacts): string {
  const { step, doneBytes, totalBytes, bytesPerSecond, secondsLeft } = facts;
  // A step that has no bytes, or none yet.
  if (totalBytes === null && doneBytes === 0) return `${step} ...`;
  const parts = [formatBytes(doneBytes)];
  if (totalBytes !== null) {
    const share = totalBytes === 0 ? 100 : Math.floor((doneBytes * 100) / totalBytes);
    parts[0] = `${formatBytes(doneBytes)} of ${formatBytes(totalBytes)} (${Math.min(100, share)} %)`;
  }
  if (bytesPerSecond !== null) parts.push(`${formatBytes(bytesPerSecond)}/s`);
  if (secondsLeft !== null) parts.push(`${formatSeconds(secondsLeft)} left`);
  return `${step}: ${parts.join(", ")}`;
}

function formatSeconds(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7_200) return `${Math.round(seconds / 60)} min`;
  return `${(seconds / 3_600).toFixed(1)} h`;
}
