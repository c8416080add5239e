import { BorealisError, sqlState } from "../base/errors.ts";
import { type Lsn, lsnMaxOf, lsnZero } from "../base/lsn.ts";
import { type Clock, sleep } from "../io/index.ts";
import type { ClientLink } from "./client-link.ts";
import { consistencySetting } from "./consistency.ts";
import type { Target } from "./topology.ts";

export interface ReaderSightOptions {
  readonly clock: Clock;
  /** Nobody waits once it is closed. */
  readonly client: Pick<ClientLink, "closed">;
  /** How far a reader has replayed. Rejects when it does not answer. */
  readonly replayedOn: (target: Target) => Promise<Lsn>;
  /** How long a read waits, unless its session has another borealis.hold_timeout. */
  readonly holdTimeoutMs: number;
}

// Replay follows within a millisecond or two; PostgreSQL up to 18 cannot be asked to tell when.
const pollMinMs = 1;
const pollMaxMs = 20;

/** What one session has been shown of the log: whichever reader it is on, it is shown no less. */
export class ReaderSight {
  private readonly options: ReaderSightOptions;
  private shown: Lsn = lsnZero;

  constructor(options: ReaderSightOptions) {
    this.options = options;
  }

  /** Resolves when the reader has replayed `at`. Raises BorealisError 57014 when it has not in time. */
  async untilShown(
    targetOf: () => Target | undefined,
    at: Lsn,
    withinMs = this.options.holdTimeoutMs,
  ): Promise<void> {
    this.note(at);
    if (await this.untilReplayed(targetOf, at, withinMs)) return;
    throw new BorealisError(
      sqlState.queryCanceled,
      `the reader has not replayed within ${withinMs} ms what the read must show`,
      {
        hint: `Try again, or choose a weaker ${consistencySetting}; borealis.hold_timeout is how long a read waits.`,
      },
    );
  }

  /** ... what the session was shown elsewhere. Resolves all the same once `targetOf` gives nobody any more. */
  async untilCaughtUp(targetOf: () => Target | undefined): Promise<void> {
    // It may be shown more elsewhere meanwhile.
    for (let at = lsnZero; at !== this.shown;) {
      at = this.shown;
      if (!(await this.untilReplayed(targetOf, at, Number.POSITIVE_INFINITY))) return;
    }
  }

  /** It must be shown this, too, wherever it comes to. */
  note(at: Lsn): void {
    this.shown = lsnMaxOf(this.shown, at);
  }

  /** False: not in time, or nobody waits any more. */
  private async untilReplayed(
    targetOf: () => Target | undefined,
    at: Lsn,
    withinMs: number,
  ): Promise<boolean> {
    const { clock, client, replayedOn } = this.options;
    const untilMs = clock.nowMs() + withinMs;
    for (let pauseMs = pollMinMs; !client.closed; pauseMs = Math.min(2 * pauseMs, pollMaxMs)) {
      const target = targetOf();
      if (!target) return false;
      if (target.role === "writer") return true;
      // One that goes away is replaced by another, which is asked next.
      const replayed = await replayedOn(target).catch(() => undefined);
      if (replayed !== undefined && replayed >= at) return true;
      if (clock.nowMs() > untilMs) return false;
      await sleep(clock, pauseMs);
    }
    return false;
  }
}
