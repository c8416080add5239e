import { assert } from "../../base/assert.ts";
import { lsnZero } from "../../base/lsn.ts";
import { Acceptor, type AcceptorAction, type AcceptorState } from "../../acceptor/index.ts";
import { formattedState } from "../../acceptor/index.ts";
import {
  type Claim,
  epochAt,
  type History,
  type Promised,
  type QuorumMessage,
  type State,
} from "../../quorum/index.ts";
import type { Elects } from "./elects.ts";
import { type Ground, lsnOf, unitOf, volume } from "./ground.ts";
import { lengthOf, type PackedLog, prefixOf, tagAt, withUnit } from "./packed-log.ts";

/** What can happen to one node. */
export type NodeEvent =
  | { readonly kind: "claim"; readonly claim: number }
  | { readonly kind: "elect"; readonly elect: number }
  /** The next unit, from the claim's driver. */
  | { readonly kind: "append"; readonly claim: number }
  /** The next unit, which that claim wrote, in a peer's PullData. */
  | { readonly kind: "fill"; readonly claim: number }
  /** A heartbeat with this VDL. */
  | { readonly kind: "hint"; readonly claim: number; readonly vdl: number }
  | { readonly kind: "sync" }
  /** Power is lost: `kept` units of log remain. */
  | { readonly kind: "crash"; readonly kept: number };

/** A claim's driver was told that this node's log is synced so far. */
export interface Spoken {
  readonly claim: number;
  readonly scl: number;
}

/** Links of peers are numbered above those of the claims' drivers. */
const peerLink = 100;
const nowMs = 0;

/**
 * One storage node: the shipped Acceptor on a disk of units. Where the shell's part is more than storing, it is as
 * section 6 of the protocol says: cut log is kept aside if told, and taken back where the new path contains it.
 */
export class ModelNode {
  disk: AcceptorState;
  log: PackedLog = 0;
  /** End of the synced part, in units. */
  synced = 0;
  /** Unit by unit the set of claims whose byte is kept aside. */
  retired = 0;
  acceptor: Acceptor;
  /** What it said since it was last asked. */
  spoken: Spoken[] = [];
  promise: Promised | undefined;
  private readonly ground: Ground;
  private readonly elects: Elects;
  private readonly claims: readonly Claim[];

  constructor(ground: Ground, elects: Elects, claims: readonly Claim[]) {
    this.ground = ground;
    this.elects = elects;
    this.claims = claims;
    const self = ground.nodeIds[0];
    assert(self !== undefined, "there are nodes");
    this.disk = formattedState({ volumeId: volume, nodeId: self, base: lsnOf(0) });
    this.acceptor = this.boot();
    this.carry(this.acceptor.step({ kind: "started", nowMs }));
  }

  get end(): number {
    return lengthOf(this.log);
  }

  private boot(): Acceptor {
    const { rules } = this.ground;
    const scl = lsnOf(this.synced);
    return new Acceptor({
      state: this.disk,
      scl,
      nowMs,
      lendsAppends: false,
      keepsRetired: true,
      rules,
    });
  }

  apply(event: NodeEvent): void {
    const { ground, end } = this;
    switch (event.kind) {
      case "claim": {
        const claim = this.claims[event.claim];
        assert(claim !== undefined, "the claim is known");
        return this.receive(event.claim, claim);
      }
      case "elect": {
        const { claim, message } = this.elects.at(event.elect);
        return this.receive(claim, message);
      }
      case "append": {
        const { epoch, timeline, bytes: payload } = ground.unitRun(event.claim);
        const head = { kind: "append", epoch, timeline, lsn: lsnOf(end), vdl: lsnZero } as const;
        return this.receive(event.claim, { ...head, payload });
      }
      case "fill": {
        const run = ground.unitRun(event.claim);
        const accepted = run.epoch;
        this.receive(peerLink, { kind: "pullData", lsn: lsnOf(end), runs: [run], accepted });
        // Whatever comes next waits until a fill is synced.
        return this.sync();
      }
      case "hint":
        return this.receive(event.claim, {
          kind: "heartbeat",
          epoch: ground.epochOf(event.claim),
          round: 1,
          vdl: lsnOf(event.vdl),
          leaseMs: 0,
        });
      case "sync":
        return this.sync();
      case "crash":
        this.log = prefixOf(this.log, event.kept);
        this.synced = event.kept;
        this.acceptor = this.boot();
        return this.carry(this.acceptor.step({ kind: "started", nowMs }));
    }
  }

  /** What it would say now to its accepted epoch's driver, and to anyone who asks. Changes nothing. */
  probe(): State {
    const { accepted, electRecord } = this.acceptor.state;
    const elect = electRecord;
    if (elect) {
      const claim = this.claims.findIndex((one) => one.claimId === elect.claimId);
      this.receive(claim, elect);
      const beat = { epoch: accepted, round: 1, vdl: lsnZero, leaseMs: 0 };
      this.receive(claim, { kind: "heartbeat", ...beat });
    }
    return this.inspect();
  }

  private inspected: State | undefined;
  private inspect(): State {
    this.receive(peerLink, { kind: "inspect" });
    assert(this.inspected !== undefined, "an Inspect is answered");
    return this.inspected;
  }

  private receive(link: number, message: QuorumMessage): void {
    const target = this.disk.nodeId;
    const envelope = { volumeId: volume, sender: "search", target, requestId: 1n };
    this.carry(this.acceptor.step({ kind: "received", link, envelope, message, nowMs }));
  }

  private sync(): void {
    if (this.synced === this.end) return;
    this.synced = this.end;
    this.carry(this.acceptor.step({ kind: "synced", scl: lsnOf(this.synced), nowMs }));
  }

  private carry(actions: readonly AcceptorAction[]): void {
    this.acceptor.checkInvariants();
    for (const action of actions) this.perform(action);
    if (!this.ground.options.withSync) this.sync();
  }

  private perform(action: AcceptorAction): void {
    switch (action.kind) {
      case "persist":
        this.disk = action.state;
        return this.carry(this.acceptor.step({ kind: "persisted", nowMs }));
      case "writeLog":
        for (const tag of this.ground.tagsIn(action.bytes))
          this.log = withUnit(this.log, this.end, tag);
        return undefined;
      case "cutLog":
        assert(!action.cut.isRebase, "no log is collected in this search");
        this.cut(unitOf(action.cut.to), action.cut.keepAside);
        this.takeBack(unitOf(action.cut.takeBackTo), action.history);
        this.synced = this.end;
        return this.carry(this.acceptor.step({ kind: "logCut", scl: lsnOf(this.synced), nowMs }));
      case "send":
        return this.note(action.reply.link, action.message);
      default:
        return undefined;
    }
  }

  private cut(to: number, keepsAside: boolean): void {
    for (let unit = to; keepsAside && unit < this.end; unit++)
      this.retired |= 1 << (4 * unit + tagAt(this.log, unit) - 1);
    this.log = prefixOf(this.log, to);
  }

  private takeBack(to: number, history: History): void {
    for (let unit = this.end; unit < to; unit++) {
      const expected = epochAt(history, lsnOf(unit));
      const claim = this.ground.epochs.findIndex(
        (epoch, one) => epoch === expected && ((tagAt(this.retired, unit) >>> one) & 1) === 1,
      );
      if (claim < 0) return;
      this.retired &= ~(1 << (4 * unit + claim));
      this.log = withUnit(this.log, unit, claim + 1);
    }
  }

  private note(link: number, message: QuorumMessage): void {
    switch (message.kind) {
      case "promise":
        this.promise = message;
        return;
      case "state":
        this.inspected = message;
        return;
      case "electAck":
      case "appendAck":
      case "heartbeatAck":
        if (message.scl > lsnZero) this.spoken.push({ claim: link, scl: unitOf(message.scl) });
        return;
      default:
        return;
    }
  }
}
