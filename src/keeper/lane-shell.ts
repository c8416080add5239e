/**
 * One job at a time: taking, deleting and collecting snapshots may not overlap, since a collection trusts that nobody is
 * about to name an extent that no snapshot names (docs/volume.md, rule 4).
 */
export class Lane {
  private last: Promise<unknown> = Promise.resolve();
  private count = 0;

  /** Jobs that run or wait. */
  get length(): number {
    return this.count;
  }

  /** Runs after all that were asked for before. Gives and raises what the job does; a failure does not stop the next. */
  run<Result>(job: () => Promise<Result>): Promise<Result> {
    this.count++;
    const mine = this.last.then(job).finally(() => this.count--);
    this.last = mine.catch(() => undefined);
    return mine;
  }
}
