import { BorealisError, sqlState } from "../base/errors.ts";
import { formatLsn, type Lsn } from "../base/lsn.ts";
import { effectiveHistory, type History, type Pin } from "../quorum/index.ts";
import type { PinWish } from "./driver-messages.ts";

/** What pins need to know of the reign that keeps them, as it is at each moment. */
export interface PinView {
  readonly low: Lsn;
  readonly vdl: Lsn;
  readonly history: History;
  /** Held, or being made. */
  readonly pins: readonly Pin[];
}

interface Waiting {
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * The clones' pins of one reign (quorum-protocol.md 13): who asks is answered when a write quorum keeps the log, or has let
 * go of it. Both may be asked again at any time, by whoever does not know how far it came.
 */
export class PinKeeper {
  private readonly reign: PinView;
  private readonly step: (
    event: { kind: "pin"; pin: Pin } | { kind: "unpin"; pinId: string },
  ) => void;
  /** What a write quorum has said last, in this epoch. */
  private readonly held = new Set<string>();
  private readonly gone = new Set<string>();
  private waiting: (Waiting & { readonly pinId: string; readonly for: "held" | "gone" })[] = [];

  constructor(reign: PinView, step: PinKeeper["step"]) {
    this.reign = reign;
    this.step = step;
  }

  /**
   * Resolves with the pin when it is kept: one of that id which is there already as it is. Raises 22023 where log does not
   * reach, 57P03 when the epoch ends first.
   */
  async pin(wish: PinWish): Promise<Pin> {
    const known = this.reign.pins.find(({ pinId }) => pinId === wish.pinId);
    const pin = known ?? this.newPin(wish);
    const { pinId } = pin;
    if (known && this.held.has(pinId)) return pin;
    const held = this.until(pinId, "held");
    if (!known) this.step({ kind: "pin", pin });
    await held;
    return pin;
  }

  /** Resolves when a write quorum keeps nothing for it any more. */
  async unpin(pinId: string): Promise<void> {
    const isKept = this.reign.pins.some((one) => one.pinId === pinId);
    if (!isKept && this.gone.has(pinId)) return;
    const gone = this.until(pinId, "gone");
    this.step({ kind: "unpin", pinId });
    await gone;
  }

  note({ kind, pinId }: { readonly kind: "pinned" | "unpinned"; readonly pinId: string }): void {
    const [into, from, what] =
      kind === "pinned"
        ? ([this.held, this.gone, "held"] as const)
        : ([this.gone, this.held, "gone"] as const);
    into.add(pinId);
    from.delete(pinId);
    this.settle((one) => one.pinId === pinId && one.for === what);
  }

  /** The epoch is over. */
  end(error: unknown): void {
    for (const one of this.waiting.splice(0)) one.reject(error);
  }

  private newPin({ pinId, to }: PinWish): Pin {
    const { low: from, vdl, history } = this.reign;
    const end = to ?? vdl;
    if (end <= from || end > vdl) {
      throw new BorealisError(
        sqlState.invalidParameter,
        `the volume cannot be cloned at ${formatLsn(end)}`,
        { hint: `choose a position above ${formatLsn(from)} and not beyond ${formatLsn(vdl)}` },
      );
    }
    return { pinId, path: effectiveHistory(history, end), from, to: end };
  }

  private until(pinId: string, state: "held" | "gone"): Promise<void> {
    return new Promise((resolve, reject) => {
      this.waiting.push({ pinId, for: state, resolve, reject });
    });
  }

  private settle(isMeant: (one: PinKeeper["waiting"][number]) => boolean): void {
    const meant = this.waiting.filter(isMeant);
    this.waiting = this.waiting.filter((one) => !meant.includes(one));
    for (const one of meant) one.resolve();
  }
}
