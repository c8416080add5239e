/** What the processes of a cluster logged in a stretch of time: where the time of a failover went. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface Moment {
  /** After the beginning. */
  readonly atMs: number;
  readonly process: string;
  readonly event: string;
}

/** The events of one process's log; lines that are none are left out. */
export function eventsOf(log: string): { at: Date; event: string }[] {
  return log.split("\n").flatMap((line) => {
    if (!line.startsWith("{")) return [];
    const { time, event } = JSON.parse(line) as { time: string | number; event?: string };
    return [{ at: new Date(time), event: event ?? "" }];
  });
}

/** From `beganAt` for `lengthMs`, in order. Storage nodes are left out: they say little, and six of them. */
export function timeline(
  dataDir: string,
  { beganAt, lengthMs }: { beganAt: Date; lengthMs: number },
): Moment[] {
  const dir = join(dataDir, "log");
  const files = readdirSync(dir).filter((name) => name.endsWith(".log") && !name.startsWith("az"));
  return files
    .flatMap((name) =>
      eventsOf(readFileSync(join(dir, name), "utf8")).map(({ at, event }) => {
        return { atMs: at.getTime() - beganAt.getTime(), process: name.slice(0, -4), event };
      }),
    )
    .filter(({ atMs }) => atMs >= 0 && atMs <= lengthMs)
    .toSorted((a, b) => a.atMs - b.atMs);
}

export function formatTimeline(moments: readonly Moment[]): string {
  return moments
    .map(
      ({ atMs, process, event }) => `${String(atMs).padStart(6)}  ${process.padEnd(18)} ${event}`,
    )
    .join("\n");
}
