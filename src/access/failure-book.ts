export interface FailureLimits {
  /** So many wrong passwords of an address are told at once. */
  readonly failuresMax: number;
  /** Each one more is told after so long; in so long one is forgiven. 0: all are told at once. */
  readonly delayMs: number;
}

/** So many delayed failures of an address at a time: so many guesses it has in `delayMs`, at most. */
const delayedMax = 16;
/** Addresses that are remembered; then the one that was heard of least lately is forgotten. */
const addressesMax = 10_000;

/** Somebody whose password has arrived and is to be checked. */
export interface Ticket {
  readonly address: string;
}

interface Account {
  /** Failures that are told at once yet, as of `atMs`. */
  credit: number;
  /** In the future while a failure is delayed: nothing is forgiven meanwhile. */
  atMs: number;
  /** When the delays of its failures end, in order. */
  delays: number[];
  /** Whose passwords are being checked: each may be wrong, so each has a place of its own, or a failure that is told at once. */
  readonly going: Set<Ticket>;
  /** Who waits for a turn, in order. */
  readonly waiting: Set<Ticket>;
}

/**
 * Wrong passwords, by address, pure. The first ones are told at once. Then each takes one of the few places that an address
 * has, for the length of a delay, whether or not its client waits for the answer; and nobody of the address has a password
 * checked while all places are taken. So an address has no more than `delayedMax` guesses in a delay, however many it begins at
 * once; who has the right password is not delayed while there is a place; and other addresses do not even notice. Right
 * passwords cost nothing: what was set aside for a check is given back.
 */
export class FailureBook {
  private readonly limits: FailureLimits;
  private readonly accounts = new Map<string, Account>();
  /** Those of whom somebody waits. */
  private readonly crowded = new Set<Account>();

  constructor(limits: FailureLimits) {
    this.limits = limits;
  }

  /** Addresses that are remembered at this moment. */
  get addressCount(): number {
    return this.accounts.size;
  }

  /** Who waits for a turn, of all addresses. */
  get waitingCount(): number {
    let count = 0;
    for (const { waiting } of this.crowded) count += waiting.size;
    return count;
  }

  /** True: it may go on at once. Else it is named by `settle`, when it may. */
  ask(ticket: Ticket, nowMs: number): boolean {
    const account = this.accountOf(ticket.address, nowMs);
    if (account.waiting.size === 0 && this.hasPlace(account, nowMs)) {
      account.going.add(ticket);
      return true;
    }
    account.waiting.add(ticket);
    this.crowded.add(account);
    return false;
  }

  /** How it went; also of who has not waited for its turn. For a wrong one: after how long its client is to be told. */
  end(ticket: Ticket, how: "right" | "wrong" | "left", nowMs: number): number {
    const account = this.accounts.get(ticket.address);
    if (!account) return 0;
    account.going.delete(ticket);
    account.waiting.delete(ticket);
    if (account.waiting.size === 0) this.crowded.delete(account);
    const delayMs = how === "wrong" ? this.delayOf(account, nowMs) : 0;
    this.forgetIfClean(ticket.address, account, nowMs);
    return delayMs;
  }

  /** Who may go on now; and when to ask again, if anybody waits. */
  settle(nowMs: number): { go: Ticket[]; wakeAtMs: number | undefined } {
    const go: Ticket[] = [];
    let wakeAtMs: number | undefined;
    for (const account of this.crowded) {
      for (const ticket of account.waiting) {
        if (!this.hasPlace(account, nowMs)) break;
        account.waiting.delete(ticket);
        account.going.add(ticket);
        go.push(ticket);
      }
      if (account.waiting.size === 0) {
        this.crowded.delete(account);
        continue;
      }
      // A place that a check in progress has becomes free with its end, which is told.
      const [next] = account.delays;
      if (next !== undefined) wakeAtMs = Math.min(wakeAtMs ?? next, next);
    }
    return { go, wakeAtMs };
  }

  private hasPlace(account: Account, nowMs: number): boolean {
    if (this.limits.delayMs === 0) return true;
    this.forgive(account, nowMs);
    const { credit, delays, going } = account;
    return going.size < Math.floor(credit) + delayedMax - delays.length;
  }

  private delayOf(account: Account, nowMs: number): number {
    const { delayMs } = this.limits;
    if (delayMs === 0) return 0;
    this.forgive(account, nowMs);
    if (account.credit >= 1) {
      account.credit--;
      return 0;
    }
    account.delays.push(nowMs + delayMs);
    account.atMs = nowMs + delayMs;
    return delayMs;
  }

  private forgive(account: Account, nowMs: number): void {
    const { failuresMax, delayMs } = this.limits;
    account.delays = account.delays.filter((end) => end > nowMs);
    const earned = Math.max(0, nowMs - account.atMs) / delayMs;
    account.credit = Math.min(failuresMax, account.credit + earned);
    account.atMs = Math.max(account.atMs, nowMs);
  }

  private accountOf(address: string, nowMs: number): Account {
    const known = this.accounts.get(address);
    // Back in at the end: the first one is who was heard of least lately.
    if (known) this.accounts.delete(address);
    const account = known ?? {
      credit: this.limits.failuresMax,
      atMs: nowMs,
      delays: [],
      going: new Set(),
      waiting: new Set(),
    };
    this.accounts.set(address, account);
    if (this.accounts.size > addressesMax) this.forgetOne();
    return account;
  }

  private forgetOne(): void {
    for (const [address, { going, waiting }] of this.accounts) {
      if (going.size + waiting.size > 0) continue;
      this.accounts.delete(address);
      return;
    }
  }

  private forgetIfClean(address: string, account: Account, nowMs: number): void {
    const { going, waiting } = account;
    if (going.size + waiting.size > 0) return;
    if (this.limits.delayMs > 0) this.forgive(account, nowMs);
    if (account.delays.length === 0 && account.credit >= this.limits.failuresMax)
      this.accounts.delete(address);
  }
}
