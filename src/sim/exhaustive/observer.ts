import { present } from "../../base/assert.ts";
import type { Elects, KnownElect } from "./elects.ts";
import type { Backtrack, Ground } from "./ground.ts";
import { commonLength, formatLog, lengthOf, type PackedLog, prefixOf } from "./packed-log.ts";
import { type NodeState, toldTo } from "./node-space.ts";

/** What is true beside the nodes: how far each claim's driver is, and what an observer has seen acknowledged. */
export interface Overview {
  readonly id: number;
  /** Per claim: its Elect; 0: not decided. */
  readonly elects: readonly number[];
  /** Per claim: VDL plus one; 0: not open. */
  readonly vdls: readonly number[];
  /** Per claim: end of what its driver has sent. */
  readonly ends: readonly number[];
  /** What was acknowledged at each unit. */
  readonly chosen: PackedLog;
  readonly chosenEnd: number;
  /** The highest epoch that is open. */
  readonly opened: number;
  /** Backtracks that an open epoch's history has. */
  readonly effected: readonly Backtrack[];
  readonly backtracks: number;
}

export interface Outcome {
  readonly after: Overview;
  readonly law: string | undefined;
}

/** The overviews that were met, each once, with the laws that hang on acknowledgements: I1, I2, I4. */
export class Observer {
  private readonly ground: Ground;
  private readonly elects: Elects;
  private readonly all: Overview[] = [];
  private readonly ids = new Map<string, Overview>();
  private readonly acks = new Map<number, Outcome>();
  readonly first: Overview;

  constructor(ground: Ground, elects: Elects) {
    this.ground = ground;
    this.elects = elects;
    const none = ground.epochs.map(() => 0);
    this.first = this.intern({ elects: none, vdls: none, ends: none, chosen: 0 });
  }

  at(id: number): Overview {
    return present(this.all[id], "an overview is made before it is named");
  }
  get count(): number {
    return this.all.length;
  }

  private intern(facts: Pick<Overview, "elects" | "vdls" | "ends" | "chosen">): Overview {
    const { elects, vdls, ends, chosen } = facts;
    const key = `${elects.join(" ")}|${vdls.join(" ")}|${ends.join(" ")}|${chosen}`;
    const known = this.ids.get(key);
    if (known) return known;
    const open = elects.flatMap((id, claim) => (vdls[claim] ? [this.elects.at(id)] : []));
    const overview: Overview = {
      ...facts,
      id: this.all.length,
      chosenEnd: lengthOf(chosen),
      opened: Math.max(0, ...open.map((elect) => elect.message.epoch)),
      effected: open.flatMap((elect) => elect.backtracks),
      backtracks: elects.filter((id) => id !== 0 && this.elects.at(id).isAskedBacktrack).length,
    };
    this.all.push(overview);
    this.ids.set(key, overview);
    return overview;
  }

  /** An owner has decided. I14 is seen here: at most one claim is elected for an epoch. */
  decided(before: Overview, elect: KnownElect): Outcome {
    const { claim } = elect;
    const after = this.intern({ ...before, elects: replaced(before.elects, claim, elect.id) });
    const own = this.ground.epochOf(claim);
    const isRivalled = before.elects.some(
      (id, one) => id !== 0 && this.ground.epochOf(one) === own,
    );
    return { after, law: isRivalled ? `I14 one owner: epoch ${own} has two` : undefined };
  }

  /** A driver has sent its log up to `end` for the first time. */
  wrote(before: Overview, claim: number, end: number): Overview {
    if ((before.ends[claim] ?? 0) >= end) return before;
    return this.intern({ ...before, ends: replaced(before.ends, claim, end) });
  }

  /** A driver opens, or says that its log up to `vdl` is durable. I4: a write quorum told it so. */
  acknowledged(before: Overview, claim: number, vdl: number, nodes: readonly NodeState[]): Outcome {
    const held = nodes.filter((node) => toldTo(node, claim) > vdl).length;
    const key = ((before.id * 8 + claim) * 16 + vdl) * 8 + held;
    const known = this.acks.get(key);
    if (known) return known;
    const outcome =
      held < this.ground.writeQuorum
        ? { after: before, law: `I4 durability: ${held} nodes hold what is acknowledged` }
        : this.acknowledge(before, claim, vdl);
    this.acks.set(key, outcome);
    return outcome;
  }

  private acknowledge(before: Overview, claim: number, vdl: number): Outcome {
    const elect = this.elects.at(before.elects[claim] ?? 0);
    const { epoch } = elect.message;
    const isOld = epoch < before.opened;
    const vdls = replaced(before.vdls, claim, vdl + 1);
    const news = elect.backtracks.filter((one) => !includes(before.effected, one));
    if (isOld && news.length > 0)
      return { after: before, law: `I2 fencing: epoch ${epoch} opens late, with a backtrack` };
    const chosen = news.reduce((log, one) => prefixOf(log, one.start), before.chosen);
    const chosenEnd = lengthOf(chosen);
    if (!isOld && epoch > before.opened && elect.start < chosenEnd) {
      const text = `I2 fencing: epoch ${epoch} opens at ${elect.start}, below ${chosenEnd} acknowledged units`;
      return { after: before, law: text };
    }
    // What a newer epoch's backtrack has removed may still be acknowledged late: it was true, and is gone on purpose.
    const removed = before.effected.filter(
      (one) => one.epoch > epoch && !includes(elect.backtracks, one),
    );
    const end = Math.min(vdl, ...removed.map((one) => one.start));
    const log = this.elects.logOf(elect, end);
    const isAgreed = commonLength(log, chosen) === Math.min(end, chosenEnd);
    if (!isAgreed) {
      const text = `I1 agreement: ${formatLog(log)} is acknowledged, ${formatLog(chosen)} was chosen`;
      return { after: before, law: text };
    }
    if (end > chosenEnd && isOld)
      return { after: before, law: `I2 fencing: epoch ${epoch} acknowledges after a newer opened` };
    const after = this.intern({ ...before, vdls, chosen: end > chosenEnd ? log : chosen });
    return { after, law: undefined };
  }

  /** I8: what an accepted Elect took from a node's log. */
  cut(overview: Overview, before: NodeState, after: NodeState): string | undefined {
    const common = commonLength(before.core.log, after.core.log);
    if (common === before.core.end) return undefined;
    const { message, backtracks } = this.elects.at(after.core.accepted);
    if (message.epoch < overview.opened) return undefined;
    const kept = commonLength(overview.chosen, after.core.log);
    const hadChosen = commonLength(before.core.log, overview.chosen);
    const lowest = Math.min(...backtracks.map((one) => one.start));
    const lost = Math.min(hadChosen, lowest);
    return kept < lost
      ? `I8 cuts: epoch ${message.epoch} drops unit ${kept}, which was chosen`
      : undefined;
  }

  /** I5: what this node serves to readers was chosen, or was before a backtrack that it has not met. */
  serves(overview: Overview, node: NodeState): string | undefined {
    const { log, feedLimit, backtracks } = node.core;
    if (feedLimit <= 0) return undefined;
    const unmet = overview.effected.filter((one) => !includes(backtracks, one));
    const limit = Math.min(feedLimit, ...unmet.map((one) => one.start));
    return commonLength(log, overview.chosen) >= limit
      ? undefined
      : `I5 readers: ${formatLog(prefixOf(log, limit))} is served, ${formatLog(overview.chosen)} was chosen`;
  }
}

export function includes(backtracks: readonly Backtrack[], one: Backtrack): boolean {
  return backtracks.some((other) => other.epoch === one.epoch && other.start === one.start);
}

function replaced(list: readonly number[], at: number, value: number): number[] {
  const copy = [...list];
  copy[at] = value;
  return copy;
}
