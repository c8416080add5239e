/** What the processes of a cluster logged in a stretch of time: where the time of a failover went. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";

export interface Moment {
  /** After the beginning. */
  readonly atMs: number;
  readonly process: string;
  readonly event: string;
}

interface Line {
  readonly time: string | number;
  readonly event?: string;
  readonly role?: string;
}

/** The events of one process's log; lines that are none are left out. */
export function eventsOf(log: string): { at: Date; event: string }[] {
  return log.split("\n").flatMap((line) => {
    if (!line.startsWith("{")) return [];
    const { time, event = "", role } = JSON.parse(line) as Line;
    const isToRead = event === "role.ordered" && role === "reader";
    return [{ at: new Date(time), event: isToRead ? "role.ordered to read" : event }];
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

/**
 * What a takeover must do in this order (docs/failover.md): the feed is capped and the epoch open before PostgreSQL replays to the
 * end, promotion comes after that, and nobody has a session before all of it. Which of the first two comes first is free: a cap
 * that is early shows less.
 */
const steps = [
  ["role.ordered"],
  ["feed.capped", "epoch.opened"],
  ["recovery.replayed"],
  ["recovery.promoted"],
  ["driver.attached"],
  ["writer.available"],
] as const;

/** What breaks that order, in words; undefined: all of it is there, each at its place. */
export function disorderIn(moments: readonly Moment[]): string | undefined {
  let [before, beforeMs]: [string, number] = ["", Number.NEGATIVE_INFINITY];
  for (const step of steps) {
    const times = step.map((event) => moments.find((one) => one.event === event)?.atMs);
    const missing = times.indexOf(undefined);
    if (missing >= 0) return `no ${step[missing] ?? ""}`;
    const known = times.filter((atMs) => atMs !== undefined);
    if (Math.min(...known) < beforeMs) return `${step.join(" or ")} before ${before}`;
    [before, beforeMs] = [step.join(" or "), Math.max(...known)];
  }
  const early = moments.find((one) => one.event === "session.survived" && one.atMs < beforeMs);
  return early && "session.survived before writer.available";
}

export function formatTimeline(moments: readonly Moment[]): string {
  return moments
    .map(
      ({ atMs, process, event }) => `${String(atMs).padStart(6)}  ${process.padEnd(18)} ${event}`,
    )
    .join("\n");
}
