export interface TallyLimits {
  /** So many of one kind are told one by one. */
  readonly ofKindMax: number;
  /** ... and of all kinds together; so many kinds are counted, too. */
  readonly ofAllMax: number;
}

/** What there was of a kind beyond what was told; `facts` are those of the last one. */
export interface Counted<T> {
  readonly facts: T;
  readonly count: number;
}

/**
 * Keeps crowds from filling a log, and an audit of bounded size: of refusals, so many are told, and of the others how many there
 * were, by kind. For one stretch of time, which `finish` ends: nothing is told more than `2 * ofAllMax + 1` times in it, and
 * nothing goes uncounted. Pure.
 */
export class RefusalTally<T> {
  private readonly limits: TallyLimits;
  private readonly kinds = new Map<string, { told: number; untold: number; last: T }>();
  private toldCount = 0;
  private others = 0;

  constructor(limits: TallyLimits) {
    this.limits = limits;
  }

  /** One more; whether it is to be told. */
  note(kind: string, facts: T): boolean {
    const known = this.kinds.get(kind);
    const isTold =
      this.toldCount < this.limits.ofAllMax && (known?.told ?? 0) < this.limits.ofKindMax;
    if (isTold) {
      this.toldCount++;
      this.kinds.set(kind, { told: (known?.told ?? 0) + 1, untold: 0, last: facts });
    } else if (known) {
      known.untold++;
      known.last = facts;
    } else this.others++;
    return isTold;
  }

  /** What was not told; and how many there were of kinds that were not told at all. Begins anew. */
  finish(): { counted: Counted<T>[]; others: number } {
    const counted: Counted<T>[] = [];
    for (const { untold, last } of this.kinds.values())
      if (untold > 0) counted.push({ facts: last, count: untold });
    const { others } = this;
    this.kinds.clear();
    this.toldCount = 0;
    this.others = 0;
    return { counted, others };
  }
}
