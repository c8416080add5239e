import { assert, unreachable } from "../base/assert.ts";
import {
  type Epoch,
  epochNone,
  type NodeId,
  type Timeline,
  timeline,
  type VolumeId,
} from "../base/ids.ts";
import { type Lsn, lsnZero } from "../base/lsn.ts";
import type { Rng } from "../base/rng.ts";
import { Claiming, type Owned } from "./claiming.ts";
import {
  type Configuration,
  type Elect,
  extendHistory,
  type History,
  type Pin,
  type QuorumMessage,
  type Rules,
  trueRules,
} from "../quorum/index.ts";
import type { DriverAction, DriverEvent } from "./driver-io.ts";
import type { FanOutMode } from "./fan-out.ts";
import { branchTimelines, chooseRecovery, type Recovery } from "./recovery.ts";
import { Reign } from "./reign.ts";
import { Sealing } from "./sealing.ts";

export interface DriverOptions {
  readonly claimant: string;
  /** Best known configuration; staleness is harmless. */
  readonly configuration: Configuration;
  readonly rng: Rng;
  /** Lease asked for with each heartbeat; 0: gate by rounds, or off. */
  readonly leaseMs: number;
  readonly heartbeatMs: number;
  /** Default: every node. */
  readonly fanOut?: FanOutMode;
  /** `salvage`: no epoch is opened; a read quorum is sealed in favour of a successor (section 10). Default: own. */
  readonly purpose?: "own" | "salvage";
  readonly rules?: Rules;
}

type StewardEvent = Extract<DriverEvent, { kind: "changeMembers" | "lowWanted" | "pin" | "unpin" }>;
type Branch = Extract<DriverEvent, { kind: "branchDecided" }>;

type Phase =
  | { readonly kind: "idle" }
  | { readonly kind: "claiming" }
  | { readonly kind: "walking"; readonly owned: Owned; readonly recovery: Recovery }
  | {
      readonly kind: "deciding";
      readonly owned: Owned;
      readonly recovery: Recovery;
      readonly b: Lsn;
    }
  | { readonly kind: "sealing"; readonly sealing: Sealing; readonly b: Lsn; readonly path: History }
  | { readonly kind: "sealed" }
  /** Electing, then open, then fenced: the reign knows. */
  | { readonly kind: "reigning"; readonly reign: Reign }
  | { readonly kind: "fenced" };

/**
 * One epoch of a volume, from the claim to its end:
 *
 *     idle → claiming → walking → deciding → electing → open → fenced
 *
 * It knows LSNs, never bytes: the shell holds the log, reads recovery's, and sends what it is told to. One driver lives
 * for one epoch; whatever goes wrong, a new one claims with empty books (M23). Section 7 of quorum-protocol.md.
 */
export class Driver {
  private readonly rules: Rules;
  private readonly options: DriverOptions;
  private readonly claiming: Claiming;
  private readonly connected = new Set<NodeId>();
  private phase: Phase = { kind: "idle" };
  private nowMs = 0;
  private actions: DriverAction[] = [];

  constructor(options: DriverOptions) {
    this.options = options;
    this.rules = options.rules ?? trueRules;
    const send = (node: NodeId, message: QuorumMessage): void => {
      this.actions.push({ kind: "send", node, message });
    };
    const { purpose = "own" } = options;
    this.claiming = new Claiming({ ...options, purpose, rules: this.rules, send });
  }

  get situation(): Exclude<Phase["kind"], "reigning"> | "electing" | "open" {
    const { reign } = this;
    if (!reign) return this.phase.kind === "reigning" ? "fenced" : this.phase.kind;
    if (reign.isOver) return "fenced";
    return reign.isOpen ? "open" : "electing";
  }
  /** The owned epoch; 0 before it is elected. */
  get epoch(): Epoch {
    return this.reign?.epoch ?? epochNone;
  }
  get timeline(): Timeline {
    return this.reign?.timeline ?? timeline(0);
  }
  get history(): History {
    return this.reign?.elect.history ?? [];
  }
  get start(): Lsn {
    return this.reign?.start ?? lsnZero;
  }
  /** The newest known; from the Elect on, that of this epoch. */
  get configuration(): Configuration {
    return this.reign?.configuration ?? this.claiming.configuration;
  }
  get vcl(): Lsn {
    return this.reign?.vcl ?? lsnZero;
  }
  /** Means something once the epoch is open; before, it is the low-water. */
  get vdl(): Lsn {
    return this.reign?.vdl ?? lsnZero;
  }
  /** The newest round begun: a statement that arrives now waits for a later one. */
  get round(): number {
    return this.reign?.rounds.last ?? 0;
  }
  /** The low-water of this epoch; 0 before it is elected. */
  get low(): Lsn {
    return this.reign?.low ?? lsnZero;
  }
  /** The pins of clones that this epoch keeps. */
  get pins(): readonly Pin[] {
    return this.reign?.pins ?? [];
  }
  /** Compare with the monotonic clock at the moment of release (decisions.md D40). */
  get leaseUntilMs(): number {
    return this.reign?.leaseUntilMs ?? 0;
  }
  /** Each node's acknowledged SCL in this epoch, for status. */
  get acknowledged(): ReadonlyMap<NodeId, Lsn> {
    return this.reign?.acknowledged ?? new Map<NodeId, Lsn>();
  }

  step(event: DriverEvent): DriverAction[] {
    if ("nowMs" in event) this.nowMs = event.nowMs;
    this.handle(event);
    const { actions } = this;
    this.actions = [];
    return actions;
  }

  private handle(event: DriverEvent): void {
    switch (event.kind) {
      case "appendAnswered":
        return this.living?.appendAnswered(event.node, event.answer, this.nowMs);
      case "walReceived":
        return this.living?.walReceived(event.end, event.recordEnd, this.nowMs);
      case "walDropped":
        return this.living?.walDropped(event.heldFrom);
      case "received":
        return this.onReceived(event.node, event.message);
      case "claim":
        assert(this.phase.kind === "idle", "a driver claims once");
        this.phase = { kind: "claiming" };
        return this.claiming.tick(this.nowMs);
      case "nodeConnected":
        return this.onConnection(event.node, true);
      case "nodeDisconnected":
        return this.onConnection(event.node, false);
      case "recordEndFound":
        return this.onRecordEnd(event.b);
      case "recordEndNotFound":
        if (this.phase.kind !== "walking") return undefined;
        this.phase = { kind: "claiming" };
        return this.claiming.restart(this.nowMs);
      case "branchDecided":
        return this.onBranchDecided(event);
      case "roundAsked":
        return this.living?.beginRound(this.nowMs);
      case "release":
        return this.living?.release();
      case "salvageDecided":
        return this.onSalvageDecided(event.successor);
      case "tick":
        return this.onTick();
      default:
        return this.handleStewardship(event);
    }
  }

  private handleStewardship(event: StewardEvent): void {
    switch (event.kind) {
      case "changeMembers":
        return this.living?.changeMembers(event.set, this.nowMs);
      case "lowWanted":
        return this.living?.wantLow(event.lsn);
      case "pin":
        return this.living?.pin(event.pin);
      case "unpin":
        return this.living?.unpin(event.pinId);
      default:
        return unreachable(event);
    }
  }

  private onTick(): void {
    const { phase } = this;
    if (phase.kind === "claiming") return this.claiming.tick(this.nowMs);
    if (phase.kind === "sealing") return phase.sealing.tick(this.nowMs);
    return this.living?.tick(this.nowMs);
  }

  private get reign(): Reign | undefined {
    return this.phase.kind === "reigning" ? this.phase.reign : undefined;
  }

  /** The reign while it lasts. */
  private get living(): Reign | undefined {
    const { reign } = this;
    return reign?.isOver === false ? reign : undefined;
  }

  private onConnection(node: NodeId, isConnected: boolean): void {
    if (isConnected) this.connected.add(node);
    else this.connected.delete(node);
    if (this.phase.kind === "claiming" && isConnected)
      this.claiming.noteConnected(node, this.nowMs);
    if (this.phase.kind === "sealing" && isConnected) this.phase.sealing.noteConnected(node);
    this.living?.connection(node, isConnected, this.nowMs);
  }

  // Claiming, choosing.

  private onReceived(node: NodeId, message: QuorumMessage): void {
    const { phase } = this;
    if (phase.kind === "claiming") {
      const { configuration: before } = this.claiming;
      this.claiming.receive(node, message, this.nowMs);
      const { owned, configuration } = this.claiming;
      if (configuration !== before) this.actions.push({ kind: "membersSeen", configuration });
      if (owned) this.chooseFrom(owned);
      return;
    }
    if (phase.kind === "sealing") return this.onSealAnswer(phase, node, message);
    this.living?.receive(node, message, this.nowMs);
  }

  private chooseFrom(owned: Owned): void {
    const recovery = chooseRecovery(this.claiming.configuration, owned.promises, this.rules);
    this.phase = { kind: "walking", owned, recovery };
    const { walkFrom: from, recoveryLsn: to, best: node, path } = recovery;
    if (from === to) return this.onRecordEnd(to);
    this.actions.push({ kind: "findRecordEnd", node, path, from, to });
  }

  private onRecordEnd(found: Lsn): void {
    const { phase } = this;
    if (phase.kind !== "walking") return;
    const { owned, recovery } = phase;
    assert(
      found >= recovery.walkFrom && found <= recovery.recoveryLsn,
      "b lies between a known record end and the recovery LSN",
    );
    const { recoveryLsn } = recovery;
    const b = this.rules.branchStart({ recoveryLsn, recordEnd: found });
    if (recovery.guardVdl > b) return this.raiseAlarm("acknowledged log is missing", recovery, b);
    if (recovery.low > b) return this.raiseAlarm("log above the low-water is missing", recovery, b);
    this.phase = { kind: "deciding", owned, recovery, b };
    const { best: node, path, low, floor } = recovery;
    if (this.options.purpose === "salvage") {
      const successors = [...new Set(owned.sealed.values())];
      if (successors.length > 1) return this.raiseAlarm("sealed for two successors", recovery, b);
      const [successor] = successors;
      const { epoch } = owned;
      this.actions.push({ kind: "decideSalvage", epoch, node, path, b, low, successor });
      return;
    }
    const timelines = branchTimelines(recovery, b);
    const { epoch } = owned;
    this.actions.push({ kind: "decideBranch", epoch, node, path, b, low, floor, ...timelines });
  }

  private raiseAlarm(reason: string, recovery: Recovery, b: Lsn): void {
    this.phase = { kind: "fenced" };
    this.actions.push({ kind: "alarm", reason, vdl: recovery.guardVdl, b });
    this.actions.push({ kind: "standDown", fencedBy: epochNone, reason });
  }

  private onBranchDecided(event: Branch): void {
    const { phase } = this;
    if (phase.kind !== "deciding") return;
    const { owned, recovery, b } = phase;
    const { epoch, claimId } = owned;
    const { start, timeline } = event;
    const { low, floor } = recovery;
    const asked = event.entryKind ?? "branch";
    if (asked === "branch") assert(start === b, "a branch starts at b");
    else assert(start >= low && start >= floor && start <= b, "a backtrack lies in [floor, b]");
    const { refillTo } = event;
    // An undo may find that nothing was written since: it removes nothing then, and only takes back.
    assert(
      asked === "branch" || start < b || refillTo !== undefined,
      "a backtrack removes something",
    );
    assert(refillTo === undefined || refillTo > start, "what is refilled lies above the start");
    const entry = { epoch, timeline, start, kind: this.rules.entryKind(asked) };
    const configuration = { ...this.claiming.configuration, id: { epoch, version: 1 } };
    const history = extendHistory(recovery.path, entry);
    const elect: Elect = {
      kind: "elect",
      epoch,
      claimId,
      history,
      start,
      configuration,
      low,
      floor,
    };
    const { leaseMs, heartbeatMs, fanOut = "everyNode" } = this.options;
    const { rules, connected } = this;
    const act = (action: DriverAction): void => {
      this.actions.push(action);
    };
    const reign = new Reign(
      {
        elect,
        timeline,
        pins: recovery.pins,
        refillTo,
        leaseMs,
        heartbeatMs,
        fanOut,
        rules,
        connected,
        act,
      },
      this.nowMs,
    );
    this.phase = { kind: "reigning", reign };
  }

  // Salvage.

  private onSalvageDecided(successor: VolumeId): void {
    const { phase } = this;
    if (phase.kind !== "deciding") return;
    const { owned, b, recovery } = phase;
    const { configuration } = this.claiming;
    for (const before of owned.sealed.values()) {
      if (before === successor) continue;
      this.phase = { kind: "fenced" };
      const reason = `an earlier salvage has sealed it for ${before}`;
      this.actions.push({ kind: "standDown", fencedBy: epochNone, reason });
      return;
    }
    const send = (node: NodeId, message: QuorumMessage): void => {
      this.actions.push({ kind: "send", node, message });
    };
    const sealing = new Sealing({ configuration, owned, successor, send });
    this.phase = { kind: "sealing", sealing, b, path: recovery.path };
    sealing.tick(this.nowMs);
  }

  private onSealAnswer(
    phase: Extract<Phase, { kind: "sealing" }>,
    node: NodeId,
    message: QuorumMessage,
  ): void {
    const { sealing, b, path } = phase;
    if (message.kind === "refuse" && message.reason === "stale") {
      this.phase = { kind: "fenced" };
      const reason = `epoch ${message.promised} owns the volume`;
      this.actions.push({ kind: "standDown", fencedBy: message.promised, reason });
      return;
    }
    sealing.receive(node, message);
    if (!sealing.isDone) return;
    this.phase = { kind: "sealed" };
    this.actions.push({ kind: "salvaged", successor: sealing.successor, b, path });
  }

  /** The laws that a driver can see alone; after every step in tests and simulation. */
  checkInvariants(): void {
    this.living?.checkInvariants();
  }
}
