/** More at once would keep a PostgreSQL from answering who is there. */
const atOnceMax = 16;

/**
 * Who leaves a reader that hangs comes to the next one in turns: all at once they could make that one too busy to answer, and the
 * cluster would take it for one that hangs, too.
 */
export class DialTurns {
  private atOnce = 0;
  private readonly waiting: (() => void)[] = [];

  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.atOnce >= atOnceMax) await new Promise<void>((go) => this.waiting.push(go));
    else this.atOnce++;
    try {
      return await work();
    } finally {
      const next = this.waiting.shift();
      // Its turn is the next one's.
      if (next) next();
      else this.atOnce--;
    }
  }
}
