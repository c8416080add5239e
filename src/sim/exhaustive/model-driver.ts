import { assert, InvariantBroken, present } from "../../base/assert.ts";
import { epoch } from "../../base/ids.ts";
import { seededRng } from "../../base/rng.ts";
import { Driver, type DriverAction } from "../../ownership/index.ts";
import { type Claim, noConfiguration } from "../../quorum/index.ts";
import type { Elects, KnownElect, Making } from "./elects.ts";
import { type Ground, lsnOf, unitOf } from "./ground.ts";
import type { NodeSpace } from "./node-space.ts";

const nowMs = 0;

/** What an owner may decide with the promises it has. */
export interface Decision {
  readonly elects: readonly KnownElect[];
  readonly law: string | undefined;
}

/** How far a driver has got that knows all that was told to it: undefined: not open. */
export interface Progress {
  readonly vdl: number | undefined;
  readonly law: string | undefined;
}

const nothing: Decision = { elects: [], law: undefined };

/** The claims' drivers: the shipped Driver, made anew and led to where it is asked, each answer remembered. */
export class ModelDrivers {
  readonly claims: readonly Claim[];
  private readonly ground: Ground;
  private readonly elects: Elects;
  private readonly decisions = new Map<string, Decision>();
  private readonly progress = new Map<number, Progress>();

  constructor(ground: Ground, elects: Elects) {
    this.ground = ground;
    this.elects = elects;
    this.claims = ground.epochs.map((_, claim) => this.claiming(claim).message);
  }

  /** The Elects to which these promises (by position; 0: none in hand) may lead; none unless they just make an owner. */
  decide(space: NodeSpace, claim: number, promises: readonly number[]): Decision {
    const key = `${claim} ${promises.join(" ")}`;
    const known = this.decisions.get(key);
    if (known) return known;
    const decision = this.findDecision(space, claim, promises);
    this.decisions.set(key, decision);
    return decision;
  }

  /** `told`: by position, the highest SCL that was told, plus one; `end`: of what the driver wrote. */
  lead(space: NodeSpace, elect: KnownElect, told: readonly number[], end: number): Progress {
    let key = elect.id * 16 + end;
    for (const one of told) key = key * 16 + one;
    const known = this.progress.get(key);
    if (known) return known;
    const progress = guarded(
      () => this.findProgress(space, elect, told, end),
      (law): Progress => ({ vdl: undefined, law }),
    );
    this.progress.set(key, progress);
    return progress;
  }

  /** A driver that has just claimed its epoch at every node. */
  private claiming(claim: number): { driver: Driver; message: Claim } {
    const { rules, configuration, nodeIds } = this.ground;
    const own = this.ground.epochOf(claim);
    const driver = new Driver({
      claimant: `claim-${claim + 1}`,
      configuration,
      rng: seededRng(claim + 1),
      leaseMs: 0,
      heartbeatMs: 1_000_000,
      rules,
    });
    const actions = driver.step({ kind: "claim", nowMs });
    const none = { base: lsnOf(0), floor: lsnOf(0), vdl: lsnOf(0), vdlEpoch: epoch(0) };
    const state = {
      kind: "state",
      ...none,
      history: [],
      scl: lsnOf(0),
      configuration: noConfiguration,
      suspectTail: false,
      // It claims the epoch above what it has seen.
      promised: epoch(own - 1),
      accepted: epoch(0),
      sealed: undefined,
      health: "ok",
      logBytes: 0,
      hasSubscribers: false,
      healed: 0,
    } as const;
    for (const node of nodeIds)
      actions.push(...driver.step({ kind: "received", node, message: state, nowMs }));
    for (const action of actions) {
      if (action.kind !== "send" || action.message.kind !== "claim") continue;
      assert(action.message.epoch === own, "each claim has its epoch");
      return { driver, message: action.message };
    }
    throw new InvariantBroken("a driver that has seen the nodes claims");
  }

  /** Feeds the promises, and walks; undefined if they make no owner, or fewer of them would. */
  private deciding(space: NodeSpace, claim: number, promises: readonly (number | undefined)[]) {
    const { driver } = this.claiming(claim);
    let actions: DriverAction[] = [];
    for (const [position, node] of this.ground.nodeIds.entries()) {
      const id = promises[position];
      if (id === undefined) continue;
      if (driver.situation !== "claiming") return undefined;
      const message = space.snapshot(id).promised;
      actions = driver.step({ kind: "received", node, message, nowMs });
    }
    for (const action of actions) {
      if (action.kind !== "findRecordEnd") continue;
      const b = lsnOf(Math.max(this.ground.recordEnd(unitOf(action.to)), unitOf(action.from)));
      actions = driver.step({ kind: "recordEndFound", b, nowMs });
    }
    const alarm = actions.find((action) => action.kind === "alarm");
    const law = alarm ? `I12 guard: ${alarm.reason}` : undefined;
    const branch = actions.find((action) => action.kind === "decideBranch");
    return branch || law !== undefined ? { driver, branch, law } : undefined;
  }

  private findDecision(space: NodeSpace, claim: number, given: readonly number[]): Decision {
    const promises = given.map((id) => (id === 0 ? undefined : id));
    try {
      const found = this.deciding(space, claim, promises);
      if (!found) return nothing;
      const { branch, law } = found;
      if (!branch) return { elects: [], law };
      const b = unitOf(branch.b);
      const lowest = Math.max(unitOf(branch.low), unitOf(branch.floor));
      const starts = [{ start: b, kind: "branch" as const }];
      const targets: { start: number; kind: "backtrack" }[] = [];
      for (let start = b - 1; start >= lowest; start--)
        if (this.ground.recordEnd(start) === start) targets.push({ start, kind: "backtrack" });
      const elects = [...starts, ...targets].map(
        ({ start, kind }) => this.elected(space, claim, start, { promises, kind }).elect,
      );
      const isMidRecord = this.ground.recordEnd(b) !== b;
      return { elects, law: isMidRecord ? "I13 records: an epoch starts inside a record" : law };
    } catch (error) {
      if (!(error instanceof InvariantBroken)) throw error;
      return { elects: [], law: error.message };
    }
  }

  /** A driver that has just sent its Elect. */
  private elected(space: NodeSpace, claim: number, start: number, making: Making) {
    const found = this.deciding(space, claim, making.promises);
    const branch = found?.branch;
    assert(found !== undefined && branch !== undefined, "these promises make an owner");
    const actions = found.driver.step({
      kind: "branchDecided",
      start: lsnOf(start),
      timeline: branch.nextTimeline,
      entryKind: making.kind,
      nowMs,
    });
    const best = this.ground.nodeIds.indexOf(branch.node);
    const { log } = space.snapshot(present(making.promises[best], "best has promised"));
    for (const action of actions) {
      if (action.kind !== "send" || action.message.kind !== "elect") continue;
      const elect = this.elects.note(claim, action.message, log, making);
      return { driver: found.driver, elect };
    }
    throw new InvariantBroken("an owner elects");
  }

  private findProgress(
    space: NodeSpace,
    elect: KnownElect,
    told: readonly number[],
    end: number,
  ): Progress {
    const { driver } = this.elected(space, elect.claim, elect.start, elect.making);
    const { nodeIds, configuration } = this.ground;
    const { epoch: own } = elect.message;
    const { id } = configuration;
    const facts = nodeIds.map((node, position) => ({ node, scl: (told[position] ?? 0) - 1 }));
    const heard = facts.filter((fact) => fact.scl >= 0);
    for (const { node, scl } of heard) {
      const message = { kind: "electAck", epoch: own, configuration: id } as const;
      const first = lsnOf(Math.min(scl, elect.start));
      driver.step({ kind: "received", node, message: { ...message, scl: first }, nowMs });
    }
    if (driver.situation !== "open") return { vdl: undefined, law: undefined };
    const recordEnd = lsnOf(Math.max(this.ground.recordEnd(end), elect.start));
    driver.step({ kind: "walReceived", end: lsnOf(end), recordEnd, nowMs });
    for (const { node, scl } of heard) {
      const answer = { kind: "appendAck", epoch: own, hasSubscribers: false } as const;
      driver.step({
        kind: "appendAnswered",
        node,
        answer: { ...answer, scl: lsnOf(scl) },
        nowMs,
      });
    }
    driver.checkInvariants();
    return { vdl: unitOf(driver.vdl), law: undefined };
  }

  get runs(): number {
    return this.decisions.size + this.progress.size;
  }

  /** The VDL that this Elect's driver tells before it opens. */
  hintWhileElecting(elect: KnownElect): number {
    const { low, start } = elect.message;
    return unitOf(this.ground.rules.hintWhileElecting({ low, start }));
  }
}

function guarded<T>(run: () => T, broken: (law: string) => T): T {
  try {
    return run();
  } catch (error) {
    if (!(error instanceof InvariantBroken)) throw error;
    return broken(error.message);
  }
}
