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
/** A reader that does not say how far it is for so long hangs. */
const silentMs = 2_000;
/** One that has not come to what it is to show by then is no better than none, while there is another. */
const catchUpMs = 5_000;

/** What came of waiting; `gone`: nobody waits any more. */
type Waited = "shown" | "late" | "silent" | "gone";

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
    const waited = await this.untilReplayed(targetOf, at, { withinMs, silentMaxMs: withinMs });
    if (waited === "shown") return;
    throw new BorealisError(
      sqlState.queryCanceled,
      `the reader has not replayed within ${withinMs} ms what the read must show`,
      {
        hint: `Try again, or choose a weaker ${consistencySetting}; borealis.hold_timeout is how long a read waits.`,
      },
    );
  }

  /**
   * ... what the session was shown elsewhere. True also once `targetOf` gives nobody any more; false: it answers nothing, or does not
   * come so far (a conflict holds its replay up, or somebody has paused it) and may be left, and another one is to be tried.
   */
  async untilCaughtUp(
    targetOf: () => Target | undefined,
    mayLeave: (target: Target) => boolean = () => true,
  ): Promise<boolean> {
    const bounds = { withinMs: catchUpMs, silentMaxMs: silentMs };
    // It may be shown more elsewhere meanwhile.
    for (let at = lsnZero; at !== this.shown;) {
      at = this.shown;
      const waited = await this.untilReplayed(targetOf, at, bounds);
      const target = targetOf();
      if (waited === "late" && target && !mayLeave(target)) at = lsnZero;
      else if (waited !== "shown") return waited === "gone";
    }
    return true;
  }

  /** It must be shown this, too, wherever it comes to. */
  note(at: Lsn): void {
    this.shown = lsnMaxOf(this.shown, at);
  }

  private async untilReplayed(
    targetOf: () => Target | undefined,
    at: Lsn,
    { withinMs, silentMaxMs }: { readonly withinMs: number; readonly silentMaxMs: number },
  ): Promise<Waited> {
    const { clock, client } = this.options;
    const untilMs = clock.nowMs() + withinMs;
    let heardMs = clock.nowMs();
    for (let pauseMs = pollMinMs; !client.closed; pauseMs = Math.min(2 * pauseMs, pollMaxMs)) {
      const target = targetOf();
      if (!target) return "gone";
      if (target.role === "writer") return "shown";
      // One that goes away is replaced by another, which is asked next.
      const replayed = await this.replayedSoon(target);
      if (replayed !== undefined && replayed >= at) return "shown";
      if (replayed !== undefined) heardMs = clock.nowMs();
      if (clock.nowMs() - heardMs >= silentMaxMs) return "silent";
      if (clock.nowMs() > untilMs) return "late";
      await sleep(clock, pauseMs);
    }
    return "gone";
  }

  /** Undefined: no answer, or none soon; the session may be elsewhere by then. */
  private replayedSoon(target: Target): Promise<Lsn | undefined> {
    const { clock, replayedOn } = this.options;
    return new Promise((resolve) => {
      const timer = clock.after(silentMs, () => resolve(undefined));
      const tell = (replayed?: Lsn): void => {
        timer.cancel();
        resolve(replayed);
      };
      replayedOn(target).then(tell, () => tell());
    });
  }
}
