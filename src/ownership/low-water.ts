import type { NodeId } from "../base/ids.ts";
import { type Lsn, lsnMaxOf } from "../base/lsn.ts";
import { type Configuration, isWriteQuorum, type Rules } from "../quorum/index.ts";

/** A Floor without a quorum of answers is sent again after this. */
const floorAgainMs = 500;

type Stage =
  | { readonly kind: "idle" }
  | {
      readonly kind: "flooring";
      readonly lsn: Lsn;
      readonly acked: Set<NodeId>;
      readonly sendAtMs: number;
    };

/** What bounds a low-water, apart from what snapshots need. */
export interface LowView {
  readonly vdl: Lsn;
  /** The lowest SCL that any member has acknowledged in this epoch; 0 if one has acknowledged none. */
  readonly lowestMember: Lsn;
  /** One set counts and is accepted: no change of membership is under way. */
  readonly isSettled: boolean;
}

/**
 * How log is given up (section 11), in two steps: a floor at a write quorum, below which no later driver backtracks or
 * recovers, then the low-water itself. One step alone reached one node, a backtrack went below it, and a recovery
 * believed that node (M26).
 */
export class LowWater {
  private readonly rules: Rules;
  private stage: Stage = { kind: "idle" };
  private wanted: Lsn;
  private lowLsn: Lsn;
  private floorLsn: Lsn;

  constructor(start: { readonly low: Lsn; readonly floor: Lsn; readonly rules: Rules }) {
    this.lowLsn = start.low;
    this.floorLsn = start.floor;
    this.wanted = start.low;
    this.rules = start.rules;
  }

  get low(): Lsn {
    return this.lowLsn;
  }
  get floor(): Lsn {
    return this.floorLsn;
  }
  get isBusy(): boolean {
    return this.stage.kind !== "idle";
  }

  /** Nothing needs log below `lsn` any more: a record end, aligned as decisions.md D3 and D39 say. */
  want(lsn: Lsn): void {
    this.wanted = lsnMaxOf(this.wanted, lsn);
  }

  noteFloorAck(node: NodeId, lsn: Lsn): void {
    const { stage } = this;
    if (stage.kind === "flooring" && stage.lsn === lsn) stage.acked.add(node);
  }

  /** What to say to every member now. `advanced` is true when `low` has moved with it. */
  step(
    view: LowView,
    at: { readonly nowMs: number; readonly configuration: Configuration },
  ): { readonly send: "floor" | "advanceLow"; readonly lsn: Lsn } | undefined {
    const { stage, rules } = this;
    const { nowMs, configuration } = at;
    if (stage.kind === "idle") {
      const { wanted, lowLsn } = this;
      const isBounded = wanted <= rules.lowLimit(view);
      if (wanted <= lowLsn || !view.isSettled || !isBounded) return undefined;
      this.floorLsn = lsnMaxOf(this.floorLsn, wanted);
      const sendAtMs = nowMs + floorAgainMs;
      this.stage = { kind: "flooring", lsn: wanted, acked: new Set(), sendAtMs };
      return { send: "floor", lsn: wanted };
    }
    const { lsn, acked } = stage;
    const isFloored = isWriteQuorum(configuration, (node) => acked.has(node));
    if (rules.mayAdvanceLow({ isFloored })) {
      this.stage = { kind: "idle" };
      this.lowLsn = lsn;
      return { send: "advanceLow", lsn };
    }
    if (nowMs < stage.sendAtMs) return undefined;
    this.stage = { ...stage, sendAtMs: nowMs + floorAgainMs };
    return { send: "floor", lsn };
  }
}
