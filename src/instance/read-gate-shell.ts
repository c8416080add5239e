import { SleepWatch } from "../base/sleep-watch.ts";
import { type Clock, sleep } from "../io/index.ts";
import type { LogDriverHandle } from "../log-driver/index.ts";

/** A request that finds no lease waits this long for one before it is told that there is none. */
const patienceMs = 1_000;

/** What a writer's agent tells proxies of the gates of reads (quorum-protocol.md, 14). */
export class ReadGrants {
  private readonly driver: LogDriverHandle;
  private readonly clock: Clock;
  private readonly leaseMs: number;
  private readonly watch: SleepWatch;
  /** Heartbeats sent before this brought leases that the machine slept through. */
  private voidBeforeMs = Number.NEGATIVE_INFINITY;
  private next: Promise<void> | undefined;

  constructor(options: { driver: LogDriverHandle; clock: Clock; leaseMs: number }) {
    const { driver, clock, leaseMs } = options;
    this.driver = driver;
    this.clock = clock;
    this.leaseMs = leaseMs;
    this.watch = new SleepWatch(clock.nowMs(), clock.awakeOrAsleepMs());
  }

  /** For how many milliseconds from the moment of this call results may be released; 0: there is no lease. */
  async lease(): Promise<number> {
    const askedAtMs = this.clock.nowMs();
    const validMs = this.validFrom(askedAtMs);
    if (validMs > 0) return validMs;
    this.next ??= this.driver.untilLeased().finally(() => {
      this.next = undefined;
    });
    await Promise.race([this.next, sleep(this.clock, patienceMs)]);
    return this.validFrom(askedAtMs);
  }

  /** Resolves when a round that began after this call is confirmed. Raises 57P03 when this epoch ends first. */
  round(): Promise<void> {
    return this.driver.untilRound();
  }

  private validFrom(askedAtMs: number): number {
    const { clock, driver, leaseMs } = this;
    const nowMs = clock.nowMs();
    if (this.watch.look(nowMs, clock.awakeOrAsleepMs())) this.voidBeforeMs = nowMs;
    const untilMs = driver.leaseUntilMs;
    // The heartbeat that brought it was sent later than `leaseMs` before its end.
    const isVoid = untilMs - leaseMs < this.voidBeforeMs;
    return isVoid || nowMs >= untilMs ? 0 : Math.max(0, untilMs - askedAtMs);
  }
}
