import { type Epoch, epoch, epochNone, type NodeId, type VolumeId } from "../base/ids.ts";
import type { Rng } from "../base/rng.ts";
import {
  type Configuration,
  isReadQuorum,
  isWriteQuorum,
  membersOf,
  type Promised,
  type QuorumMessage,
  type Refuse,
  type Rules,
  type State,
} from "../quorum/index.ts";

/** A node that has not answered is asked again after this. */
const askAgainMs = 300;
/** ... and one that makes claims wait for a lease, after this. */
const leaseAgainMs = 50;
const backOffFirstMs = 30;
const backOffMaxMs = 2_000;

interface Claim {
  readonly kind: "claiming";
  readonly epoch: Epoch;
  readonly claimId: string;
  readonly promises: Map<NodeId, Promised>;
}

/** Looking first disturbs no live owner, and shows which epoch to claim. */
type Stage =
  | { readonly kind: "inspecting"; readonly answered: Set<NodeId> }
  | Claim
  | { readonly kind: "backingOff"; readonly untilMs: number };

export interface Owned {
  readonly epoch: Epoch;
  readonly claimId: string;
  /** In a salvage also of nodes that an earlier one sealed: frozen, they promise nothing and change nothing any more. */
  readonly promises: ReadonlyMap<NodeId, Promised>;
  /** Salvage only: who is sealed already, and in whose favour. */
  readonly sealed: ReadonlyMap<NodeId, VolumeId>;
}

/**
 * From "nobody" to owner of an epoch: inspect, pick an epoch above every promise seen, claim at all members, until W of
 * every set have promised (section 7, Claiming). A refusal by a higher epoch: back off at random and claim above it, with
 * a new claim id and empty books.
 */
export class Claiming {
  private stage: Stage = { kind: "inspecting", answered: new Set() };
  private highestSeen: Epoch = epochNone;
  private attempts = 0;
  private readonly sealedStates = new Map<NodeId, State>();
  /** When each node may be asked again. */
  private readonly askAtMs = new Map<NodeId, number>();
  private readonly rng: Rng;
  private readonly rules: Rules;
  private readonly claimant: string;
  private readonly isSalvage: boolean;
  private readonly send: (node: NodeId, message: QuorumMessage) => void;
  private known: Configuration;

  constructor(options: {
    readonly configuration: Configuration;
    readonly claimant: string;
    readonly rng: Rng;
    readonly rules: Rules;
    /** `salvage`: R of every set suffice, since nobody is elected (section 10). */
    readonly purpose: "own" | "salvage";
    readonly send: (node: NodeId, message: QuorumMessage) => void;
  }) {
    this.known = options.configuration;
    this.rng = options.rng;
    this.rules = options.rules;
    this.isSalvage = options.purpose === "salvage";
    this.claimant = options.claimant;
    this.send = options.send;
  }

  /** The newest configuration seen; quorums are counted in it. */
  get configuration(): Configuration {
    return this.known;
  }

  /** The claim when it is won. */
  get owned(): Owned | undefined {
    const { stage } = this;
    if (stage.kind !== "claiming") return undefined;
    if (this.isSalvage) return this.ownedBySalvage(stage);
    const hasPromised = (node: NodeId): boolean => stage.promises.has(node);
    return this.rules.isOwned(this.known, hasPromised)
      ? { ...stage, sealed: new Map() }
      : undefined;
  }

  /** A salvage that died between two seals is finished by the next: a sealed node's state is as good as a promise. */
  private ownedBySalvage({ epoch: owned, claimId, promises }: Claim): Owned | undefined {
    const all = new Map(promises);
    const sealed = new Map<NodeId, VolumeId>();
    for (const [node, state] of this.sealedStates) {
      if (state.sealed === undefined) continue;
      sealed.set(node, state.sealed);
      all.set(node, { ...state, kind: "promise", epoch: owned, claimId, pins: [] });
    }
    const isWon = isReadQuorum(this.known, (node) => all.has(node));
    return isWon ? { epoch: owned, claimId, promises: all, sealed } : undefined;
  }

  tick(nowMs: number): void {
    if (this.stage.kind === "backingOff") {
      if (nowMs < this.stage.untilMs) return;
      this.claim();
    }
    for (const { nodeId } of membersOf(this.known)) this.ask(nodeId, nowMs);
  }

  /** A link came up: whatever was sent before is lost. */
  noteConnected(node: NodeId, nowMs: number): void {
    if ((this.askAtMs.get(node) ?? 0) <= nowMs + askAgainMs) this.askAtMs.delete(node);
    this.ask(node, nowMs);
  }

  receive(node: NodeId, message: QuorumMessage, nowMs: number): void {
    switch (message.kind) {
      case "state":
        this.noteSeen(message.promised);
        this.adopt(message.configuration);
        if (message.sealed !== undefined) this.sealedStates.set(node, message);
        if (this.stage.kind !== "inspecting") return;
        this.stage.answered.add(node);
        return this.claimWhenSeen(nowMs);
      case "promise":
        return this.onPromise(node, message, nowMs);
      case "wait":
        if (this.stage.kind !== "claiming" || message.epoch !== this.stage.epoch) return undefined;
        // Sooner than told: a lease may be released before its end (section 14).
        this.askAtMs.set(node, nowMs + Math.min(message.ms, leaseAgainMs));
        return undefined;
      case "refuse":
        return this.onRefuse(node, message, nowMs);
      default:
        return undefined;
    }
  }

  /** Starts over: the log that the promises showed could not be read. */
  restart(nowMs: number): void {
    this.backOff(nowMs);
  }

  private noteSeen(promised: Epoch): void {
    if (promised > this.highestSeen) this.highestSeen = promised;
  }

  private adopt(seen: Configuration): void {
    if (seen.sets.length > 0 && this.rules.adoptsConfiguration(seen, this.known)) this.known = seen;
  }

  private claimWhenSeen(nowMs: number): void {
    const { stage } = this;
    if (stage.kind !== "inspecting") return;
    const isEnough = this.isSalvage ? isReadQuorum : isWriteQuorum;
    if (!isEnough(this.known, (node) => stage.answered.has(node))) return;
    this.claim();
    this.tick(nowMs);
  }

  private claim(): void {
    const claimId = uuidFrom(this.rng);
    const next = epoch(this.highestSeen + 1);
    this.stage = { kind: "claiming", epoch: next, claimId, promises: new Map() };
    this.highestSeen = next;
    this.askAtMs.clear();
  }

  private ask(node: NodeId, nowMs: number): void {
    const { stage } = this;
    if (nowMs < (this.askAtMs.get(node) ?? 0)) return;
    if (stage.kind === "backingOff") return;
    const hasAnswered =
      stage.kind === "inspecting" ? stage.answered.has(node) : stage.promises.has(node);
    if (hasAnswered) return;
    this.askAtMs.set(node, nowMs + askAgainMs);
    if (stage.kind === "inspecting") return this.send(node, { kind: "inspect" });
    const { claimant } = this;
    this.send(node, { kind: "claim", epoch: stage.epoch, claimId: stage.claimId, claimant });
  }

  private onPromise(node: NodeId, promise: Promised, nowMs: number): void {
    const { stage } = this;
    if (stage.kind !== "claiming") return;
    if (promise.epoch !== stage.epoch || promise.claimId !== stage.claimId) return;
    stage.promises.set(node, promise);
    const before = this.known;
    this.adopt(promise.configuration);
    // Promises already gathered stay valid; members that are new to us are asked too.
    if (this.known !== before) this.tick(nowMs);
  }

  private onRefuse(node: NodeId, refuse: Refuse, nowMs: number): void {
    this.noteSeen(refuse.promised);
    if (this.isSalvage && refuse.reason === "sealed" && !this.sealedStates.has(node))
      this.send(node, { kind: "inspect" });
    const { stage } = this;
    if (stage.kind !== "claiming") return;
    const isOutrun = refuse.reason === "stale" && refuse.promised >= stage.epoch;
    if (isOutrun && refuse.epoch === stage.epoch) return this.backOff(nowMs);
    this.askAtMs.set(node, nowMs + askAgainMs);
  }

  private backOff(nowMs: number): void {
    this.attempts++;
    const delayMs = Math.min(backOffFirstMs * 2 ** Math.min(this.attempts, 10), backOffMaxMs);
    const untilMs = nowMs + delayMs * (0.25 + 0.75 * this.rng.next());
    this.stage = { kind: "backingOff", untilMs };
  }
}

/** A UUID (version 4 form) from the driver's own randomness: two claims never share one. */
function uuidFrom(rng: Rng): string {
  const bytes = Buffer.alloc(16);
  for (let i = 0; i < 16; i++) bytes[i] = rng.below(256);
  bytes[6] = ((bytes[6] ?? 0) & 0x0f) | 0x40;
  bytes[8] = ((bytes[8] ?? 0) & 0x3f) | 0x80;
  const hex = bytes.toString("hex");
  const parts = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return `${parts.join("-")}-${hex.slice(20)}`;
}
