import type { SettingChange } from "../route/index.ts";
import { consistencySetting } from "./consistency.ts";
import { applyWish, defaultWishes, type SurvivalWishes, wishSettings } from "./survival-wishes.ts";

interface Sent {
  readonly change: SettingChange;
  /** Which of the client's cycles it was sent in. */
  readonly cycle: number;
  /** Its server was asked behind it. */
  isAsked: boolean;
}

/**
 * What a session wishes. A text only says what is tried: it may fail, be rolled back, or be of one transaction. So it counts
 * from its sending until the server says what came of it, which is then what counts.
 */
export class WishBook {
  private readonly atStart: SurvivalWishes;
  /** By the server's last word, or as it began. */
  private told: SurvivalWishes;
  /** The server's word is about another session. */
  private isAdopted = false;
  /** One of each name, local or not; in their order. */
  private sent: Sent[] = [];
  current: SurvivalWishes;

  constructor(atStart: SurvivalWishes = defaultWishes) {
    this.atStart = atStart;
    this.told = atStart;
    this.current = atStart;
  }

  /**
   * For the next server. What was sent in cycles behind `finished`, or is of one transaction, is sent to that again, or has not
   * come to be.
   */
  succeed(finished: number): WishBook {
    const next = new WishBook(this.atStart);
    next.told = this.told;
    next.isAdopted = this.isAdopted;
    next.sent = this.sent
      .filter(({ change, cycle }) => !change.isLocal && cycle <= finished)
      .map(({ change }) => ({ change, cycle: 0, isAsked: false }));
    next.sumUp();
    return next;
  }

  /** Those of the session that this one runs statements for. */
  adopt(wishes: SurvivalWishes): void {
    this.told = wishes;
    this.isAdopted = true;
    this.sent = [];
    this.current = wishes;
  }

  note(change: SettingChange, cycle: number): void {
    const { name, isLocal } = change;
    // Of one transaction only: forwarding is a matter of the session.
    if (isLocal && name === consistencySetting) return;
    this.sent = this.sent.filter(
      (known) => known.change.name !== name || known.change.isLocal !== isLocal,
    );
    this.sent.push({ change, cycle, isAsked: false });
    this.sumUp();
  }

  /** Something counts for one transaction only. */
  get hasLocal(): boolean {
    return this.sent.some(({ change }) => change.isLocal);
  }

  /** The cycles up to `finished` are over, and no transaction is open. */
  ended(finished: number): void {
    this.keep(({ change, cycle }) => !change.isLocal || cycle > finished);
  }

  /** The server is asked what it has, behind all that was sent so far. */
  asked(): void {
    for (const sent of this.sent) sent.isAsked = true;
  }

  /** ... and has answered: `valueOf` gives what it says of a setting; null or undefined: that was never set. */
  answered(valueOf: (name: string) => string | null | undefined): void {
    if (!this.isAdopted) this.told = this.toldBy(valueOf);
    this.keep(({ isAsked }) => !isAsked);
  }

  private toldBy(valueOf: (name: string) => string | null | undefined): SurvivalWishes {
    // An empty one was set once, and is not any more.
    const read = (wishes: SurvivalWishes, name: string): SurvivalWishes =>
      applyWish(wishes, name, valueOf(name) || null, this.atStart);
    return wishSettings.reduce(read, this.atStart);
  }

  private keep(isKept: (sent: Sent) => boolean): void {
    this.sent = this.sent.filter(isKept);
    this.sumUp();
  }

  private sumUp(): void {
    this.current = this.sent.reduce(
      (wishes, { change: { name, value } }) => applyWish(wishes, name, value, this.atStart),
      this.told,
    );
  }
}
