const failuresMax = 3;

/**
 * Numbers what a session ran that may have changed it (see SessionTouch), in the order of sending, and tells which of it
 * was asked about and answered: by a question that the server took behind it.
 */
export class TouchCount {
  private sent = 0;
  private lastNow = 0;
  private lastLater = 0;
  // Of those that certainly matter: answered, answered when no transaction was open, answered and not to be rolled back.
  private done = 0;
  private doneAtStart = 0;
  private doneLasting = 0;
  private asked = 0;
  private answered = 0;
  /** Of questions without an answer so far: up to which touch each looks. */
  private readonly asking: number[] = [];
  private failures = 0;

  /** Gives the number of the next. `isNow`: it is to be asked about at once, else some time later. */
  next(isNow: boolean): number {
    const number = ++this.sent;
    if (isNow) {
      this.lastNow = number;
      this.failures = 0;
    } else this.lastLater = number;
    return number;
  }

  /** One that certainly matters was answered. */
  noteDone(number: number, isLasting: boolean): void {
    this.done = Math.max(this.done, number);
    if (isLasting) this.doneLasting = this.done;
  }

  /** Likewise, outside a transaction. */
  noteDoneOutside(number: number): void {
    this.done = Math.max(this.done, number);
    this.doneAtStart = Math.max(this.doneAtStart, number);
  }

  /** ... and no transaction is open. */
  settle(): void {
    this.doneAtStart = this.done;
  }

  /** See SessionBook.needsReadback. */
  get needsReadback(): "no" | "later" | "now" {
    if (this.failures >= failuresMax) return "no";
    if (this.lastNow > this.asked) return "now";
    return this.lastLater > this.asked || this.failures > 0 ? "later" : "no";
  }

  /** The server is asked, behind all that was sent so far. */
  ask(): void {
    this.asked = this.sent;
    this.asking.push(this.sent);
  }

  /** The oldest question has an answer: gives up to which touch that looks. */
  takeAnswer(): number {
    return this.asking.shift() ?? this.answered;
  }

  /** ... which says nothing; `isFailure`: though it could. */
  noAnswer(isFailure: boolean): void {
    if (isFailure) this.failures++;
    this.asked = this.asking.at(-1) ?? this.answered;
  }

  /** ... which tells what came of all up to this one. */
  answer(upTo: number): void {
    this.failures = 0;
    this.answered = upTo;
  }

  /** What was asked stays unanswered. */
  connectionLost(): void {
    this.asking.length = 0;
    this.asked = this.answered;
  }

  isAnswered(number: number): boolean {
    return number <= this.answered;
  }

  /** Nothing was sent behind it. */
  isLast(number: number): boolean {
    return number === this.sent;
  }

  /** Nothing that was sent so far may have changed what was answered. */
  get isAllAnswered(): boolean {
    return this.answered >= Math.max(this.lastNow, this.lastLater);
  }

  /** All that certainly matters is answered; of a transaction that is open or was rolled back, what outlives that. */
  get isCertain(): boolean {
    return this.answered >= Math.max(this.doneAtStart, this.doneLasting);
  }

  /** ... before the transaction that is open. */
  get wasCertainAtStart(): boolean {
    return this.answered >= this.doneAtStart;
  }
}
