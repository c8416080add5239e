import { RefusalTally, type TallyLimits } from "../access/index.ts";
import type { Clock, Timer } from "../io/index.ts";

export type RefusalFacts = Readonly<Record<string, string | number | undefined>>;

/** In ten seconds: a crowd's refusals are some kilobytes a second in an audit that is bounded, whoever they come from. */
const windowMs = 10_000;
const ofAllMax = 200;

/** Tells refusals: the first ones as they come, of the others how many there were in ten seconds, whether or not more come. */
export class RefusalLog {
  private readonly clock: Clock;
  private readonly tally: RefusalTally<RefusalFacts>;
  private readonly tell: (facts: RefusalFacts) => void;
  private timer: Timer | undefined;

  constructor(
    clock: Clock,
    { ofKindMax }: Pick<TallyLimits, "ofKindMax">,
    tell: (facts: RefusalFacts) => void,
  ) {
    this.clock = clock;
    this.tally = new RefusalTally({ ofKindMax, ofAllMax });
    this.tell = tell;
  }

  /** `kind`: those are alike. */
  note(kind: string, facts: RefusalFacts): void {
    if (this.tally.note(kind, facts)) this.tell(facts);
    this.timer ??= this.clock.after(windowMs, () => this.finish());
  }

  /** Tells what is left. */
  close(): void {
    this.finish();
  }

  private finish(): void {
    this.timer?.cancel();
    this.timer = undefined;
    const { counted, others } = this.tally.finish();
    for (const { facts, count } of counted) this.tell({ ...facts, count });
    if (others > 0) this.tell({ remote: "many", count: others });
  }
}
