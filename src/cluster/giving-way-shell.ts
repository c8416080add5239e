/** Work that ends when something more important wants its place. One at a time. */
export class GivingWay {
  private current: AbortController | undefined;

  get isUnderWay(): boolean {
    return this.current !== undefined;
  }

  /** Ends what is under way: its `run` raises `why`, whatever the work itself makes of being interrupted. */
  giveWay(why: Error): void {
    this.current?.abort(why);
    this.current = undefined;
  }

  /** Gives and raises what `work` does, and the reason of whoever it gave way to. */
  async run<T>(outer: AbortSignal, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const mine = new AbortController();
    this.current = mine;
    try {
      return await work(AbortSignal.any([outer, mine.signal]));
    } catch (error) {
      // What it read from has been taken away: that is not what went wrong.
      throw mine.signal.aborted ? mine.signal.reason : error;
    } finally {
      if (this.current === mine) this.current = undefined;
    }
  }
}
