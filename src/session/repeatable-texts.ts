import { repeating, type RestoreCycle } from "./restore.ts";

const textsMax = 20;

/**
 * What a session ran last that only sets or resets it, from its answer until a readback has told what came of it. In that
 * moment a session whose server is lost is what it was before, and those texts once more.
 */
export class RepeatableTexts {
  /** By the number of their touch. */
  private readonly texts = new Map<number, string>();

  get isEmpty(): boolean {
    return this.texts.size === 0;
  }

  /** False: there are too many of them. */
  answered(number: number, text: string): boolean {
    this.texts.set(number, text);
    return this.texts.size <= textsMax;
  }

  /** They are not to be repeated. Gives the number of the last. */
  giveUp(): number {
    const last = Math.max(0, ...this.texts.keys());
    this.texts.clear();
    return last;
  }

  /** What came of all touches up to this one is known. */
  readBack(upTo: number): void {
    for (const number of this.texts.keys()) if (number <= upTo) this.texts.delete(number);
  }

  /** To be run on another connection, behind what is known to be wanted there. */
  get cycles(): RestoreCycle[] {
    return [...this.texts.values()].map(repeating);
  }
}
