/** What a run of the checker has seen, for a person: pure. */
import { count, type Final, type History, outcomeUnknown, rowsOf, type Write } from "./history.ts";
import { type Contradiction, nameOf } from "./history-checks.ts";

/** How many writes ended how, by kind and form; what the open ones came to; what was read. */
export function figuresOf(history: History, final: Final): string[] {
  const { writes, views, looks, shown, refusedConnections, failedReads } = history;
  const endings = new Map<string, number>();
  const open = new Map<string, number>();
  for (const write of writes) {
    count(endings, `${write.kind} (${write.form}) ${write.outcome}`);
    if ([outcomeUnknown, "closed"].includes(write.outcome) && write.commitMs !== undefined)
      count(open, `${write.outcome} ${isThere(write, final) ? "was committed" : "was not"}`);
  }
  const unmatched = writes.filter((one) => one.kind === "exchange" && !one.hasMatched);
  return [
    `${writes.length} writes: ${told(endings)}`,
    `left open: ${told(open)}`,
    `${unmatched.filter(({ outcome }) => outcome === "ok").length} exchanges found another value`,
    `${views.length} views, ${looks.length} looks, ${shown.size} rows shown; reads that failed: ${told(failedReads)}`,
    `connections refused: ${told(refusedConnections)}`,
  ];
}

/** How often anybody was told that the outcome is not known. */
export function unknownCount({ writes, failedReads }: History): number {
  const ofWrites = writes.filter(({ outcome }) => outcome === outcomeUnknown).length;
  return ofWrites + (failedReads.get(outcomeUnknown) ?? 0);
}

/** "kill 3, freeze 2", the most first. */
export function told(counts: ReadonlyMap<string, number>): string {
  const byCount = [...counts].toSorted(([, a], [, b]) => b - a);
  return byCount.map(([name, times]) => `${name} ${times}`).join(", ") || "none";
}

/** What went on around a contradiction: faults, and writes that did not simply succeed. */
export function around(
  { writes }: History,
  story: readonly string[],
  { atMs, what }: Contradiction,
): string[] {
  const isNear = (ms: number): boolean => ms > atMs - 10_000 && ms < atMs + 3_000;
  const faults = story.filter((line) => isNear(Number.parseInt(line, 10)));
  const near = writes.filter((write) => write.outcome !== "ok" && isNear(write.endMs));
  return [`## ${Math.round(atMs)} ${what}`, ...faults, ...near.map(nameOf), ""];
}

function isThere(write: Write, { appended, transferred, registers }: Final): boolean {
  if (write.kind === "exchange") return registers.get(write.key) === write.value;
  const there = write.kind === "append" ? appended : transferred;
  return rowsOf(write).every((row) => there.has(row));
}
