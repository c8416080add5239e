import { z } from "zod";

/** RDS's words (Working with Amazon RDS event notification), as far as they fit. */
export const eventCategories = [
  "availability",
  "backtrack",
  "backup",
  "configuration change",
  "creation",
  "deletion",
  "failover",
  "failure",
  "notification",
  "recovery",
  "security",
] as const;

export const eventSchema = z.object({
  /** ISO 8601, UTC. */
  time: z.iso.datetime(),
  sourceType: z.enum(["cluster", "instance", "storage", "snapshot", "endpoint", "proxy"]),
  /** The id of what it happened to. */
  source: z.string(),
  category: z.enum(eventCategories),
  message: z.string(),
});
export type ClusterEvent = Readonly<z.infer<typeof eventSchema>>;

// As long as RDS keeps them, unless there are very many.
const keptMs = 14 * 24 * 3_600_000;
/** So many are kept, and can be asked for. */
export const eventsMax = 10_000;
/** So many are given, unless others are asked for. */
export const eventsUsual = 100;
// The file is written anew when it has so many more lines than it needs.
const deadMax = 2_000;

/** The events of a cluster, bounded by age and number. Pure: whoever has it writes what it says into the file. */
export class EventBook {
  private events: ClusterEvent[];
  private lines: number;

  /** `events` as the file has them, oldest first; `lines` how many lines it has. */
  constructor(events: readonly ClusterEvent[] = [], lines = events.length) {
    this.events = [...events];
    this.lines = lines;
  }

  /**
   * Takes new ones in. Gives what the file needs: those lines at its end, or all of it anew. `nowMs` in milliseconds since
   * 1970.
   */
  add(
    added: readonly ClusterEvent[],
    nowMs: number,
  ): { readonly append?: string; readonly whole?: string } {
    if (added.length === 0) return {};
    this.events.push(...added);
    this.forget(nowMs);
    this.lines += added.length;
    if (this.lines - this.events.length <= deadMax) return { append: linesOf(added) };
    this.lines = this.events.length;
    return { whole: linesOf(this.events) };
  }

  /** The newest `limit` of those since `sinceMs`, oldest first. */
  list(sinceMs: number, limit: number): readonly ClusterEvent[] {
    const from = this.events.findIndex(({ time }) => Date.parse(time) >= sinceMs);
    if (from < 0 || limit < 1) return [];
    return this.events.slice(Math.max(from, this.events.length - limit));
  }

  private forget(nowMs: number): void {
    const isKept = ({ time }: ClusterEvent): boolean => Date.parse(time) >= nowMs - keptMs;
    const first = this.events.findIndex(isKept);
    const tooMany = this.events.length - eventsMax;
    const from = Math.max(first < 0 ? this.events.length : first, tooMany, 0);
    if (from > 0) this.events = this.events.slice(from);
  }
}

function linesOf(events: readonly ClusterEvent[]): string {
  return events.map((event) => `${JSON.stringify(event)}\n`).join("");
}

/** Of a file of events: what a crash has cut, or somebody has written there, is left out. */
export function parseEvents(text: string): {
  readonly events: ClusterEvent[];
  readonly lines: number;
} {
  const lines = text.split("\n").filter((line) => line.length > 0);
  return { events: lines.flatMap((line) => parseLine(line) ?? []), lines: lines.length };
}

function parseLine(line: string): ClusterEvent | undefined {
  try {
    return eventSchema.parse(JSON.parse(line));
  } catch {
    return undefined;
  }
}
