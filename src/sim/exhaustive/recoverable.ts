import type { NodeId } from "../../base/ids.ts";
import { lsnMaxOf } from "../../base/lsn.ts";
import { chooseRecovery } from "../../ownership/index.ts";
import type { Promised } from "../../quorum/index.ts";
import { type Backtrack, backtracksOf, type Ground, lsnOf, unitOf } from "./ground.ts";
import type { Core } from "./node-space.ts";
import { includes, type Overview } from "./observer.ts";
import { commonLength, formatLog, type PackedLog, prefixOf, tagAt } from "./packed-log.ts";

/** The log that a read quorum leads to. */
interface Recovered {
  readonly log: PackedLog;
  readonly backtracks: readonly Backtrack[];
}

/**
 * I3, and the second half of I7, on states of nodes. Only the smallest read quorums are looked at: the best of more
 * nodes is the best of some smaller quorum that has it.
 */
export class Recoverable {
  private readonly ground: Ground;
  private readonly quorums: readonly (readonly number[])[];
  private readonly pairs: readonly (readonly [number, number])[];
  private readonly recovered = new Map<number, Recovered>();
  private readonly agreement = new Map<number, boolean>();

  constructor(ground: Ground) {
    this.ground = ground;
    const positions = ground.nodeIds.map((_, position) => position);
    this.quorums = subsetsOf(positions, ground.readQuorum);
    this.pairs = subsetsOf(positions, 2).map(([a = 0, b = 0]) => [a, b] as const);
  }

  brokenLaw(overview: Overview, cores: readonly Core[]): string | undefined {
    for (const [a, b] of this.pairs) {
      const one = cores[a];
      const other = cores[b];
      if (one && other && !this.areAgreed(one, other))
        return `I7 paths: ${formatLog(one.log)} and ${formatLog(other.log)} differ below a common byte`;
    }
    for (const quorum of this.quorums) {
      const { log, backtracks } = this.recover(quorum, cores);
      const unopened = backtracks.filter((one) => !includes(overview.effected, one));
      const needed = Math.min(overview.chosenEnd, ...unopened.map((one) => one.start));
      if (commonLength(log, overview.chosen) < needed) {
        const who = quorum.map((position) => `n${position + 1}`).join(", ");
        const what = `recovers ${formatLog(log)}, acknowledged ${formatLog(overview.chosen)}`;
        return `I3 recoverability: a read quorum (${who}) ${what}`;
      }
    }
    return undefined;
  }

  private areAgreed(one: Core, other: Core): boolean {
    const key = one.id * 0x100000 + other.id;
    const known = this.agreement.get(key);
    if (known !== undefined) return known;
    let isAgreed = true;
    for (let unit = Math.min(one.end, other.end) - 1; unit >= 0; unit--) {
      const epochs = [one, other].map((core) => this.ground.epochOfTag(tagAt(core.log, unit)));
      if (epochs[0] !== epochs[1]) continue;
      isAgreed = prefixOf(one.log, unit + 1) === prefixOf(other.log, unit + 1);
      break;
    }
    this.agreement.set(key, isAgreed);
    return isAgreed;
  }

  private recover(quorum: readonly number[], cores: readonly Core[]): Recovered {
    let key = 0;
    for (const position of quorum) key = key * 0x10000 + (cores[position]?.id ?? 0);
    const known = this.recovered.get(key);
    if (known) return known;
    const found = this.choose(quorum, cores);
    this.recovered.set(key, found);
    return found;
  }

  /** The shipped choice, on what these nodes would promise now. */
  private choose(quorum: readonly number[], cores: readonly Core[]): Recovered {
    const { rules, configuration, nodeIds } = this.ground;
    const promises = new Map<NodeId, Promised>();
    for (const position of quorum) {
      const node = nodeIds[position];
      const core = cores[position];
      if (node !== undefined && core) promises.set(node, core.position);
    }
    const recovery = chooseRecovery(configuration, promises, rules);
    const { recoveryLsn } = recovery;
    const last = lsnOf(this.ground.recordEnd(unitOf(recoveryLsn)));
    const recordEnd = lsnMaxOf(last, recovery.walkFrom);
    const start = unitOf(rules.branchStart({ recoveryLsn, recordEnd }));
    const best = cores[nodeIds.indexOf(recovery.best)];
    return { log: prefixOf(best?.log ?? 0, start), backtracks: backtracksOf(recovery.path) };
  }
}

function subsetsOf(items: readonly number[], size: number): number[][] {
  if (size === 0) return [[]];
  return items.flatMap((item, index) =>
    subsetsOf(items.slice(index + 1), size - 1).map((rest) => [item, ...rest]),
  );
}
