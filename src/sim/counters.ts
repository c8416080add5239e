/** What happened, so that a suite in which nothing happens can be told from one that is right. */
export class Counters {
  private readonly counts = new Map<string, number>();

  note(what: string, times = 1): void {
    this.counts.set(what, (this.counts.get(what) ?? 0) + times);
  }
  get(what: string): number {
    return this.counts.get(what) ?? 0;
  }
  add(other: Readonly<Record<string, number>>): void {
    for (const [what, times] of Object.entries(other)) this.note(what, times);
  }
  /** By name, so that two runs print the same. */
  toRecord(): Record<string, number> {
    return Object.fromEntries([...this.counts].sort(([a], [b]) => (a < b ? -1 : 1)));
  }
}
