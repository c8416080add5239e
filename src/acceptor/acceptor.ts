import { assert, unreachable } from "../base/assert.ts";
import type { Epoch } from "../base/ids.ts";
import { type Lsn, lsnZero } from "../base/lsn.ts";
import type { AcceptorAction, AcceptorEvent, Received } from "./acceptor-io.ts";
import { type AcceptorState, assertSoundState } from "./acceptor-state.ts";
import { planConfigChange, planElect, sharedWith } from "./elect-plan.ts";
import type { Claim, ConfigChange, Elect, Heartbeat, Release } from "../quorum/index.ts";
import { questions, wordsOfPeers } from "./message-kinds.ts";
import { NodeCore } from "./node-core.ts";
import { NodeLease } from "./node-lease.ts";
import { NodeLog } from "./node-log.ts";
import { type Rules, trueRules } from "../quorum/index.ts";
import { NodePins } from "./node-pins.ts";
import { onGetLog, onPinPull, onPull, onSubscribe, readerLimit } from "./serving.ts";
import { onAdvanceLow, onConfigChange, onFloor, onSeal } from "./stewardship.ts";

export interface AcceptorOptions {
  /** As it was persisted; formattedState() for an empty disk. */
  readonly state: AcceptorState;
  /** End of the scanned, synced log. */
  readonly scl: Lsn;
  readonly nowMs: number;
  /** True: appends run in a worker under grants; false: they come as messages only. */
  readonly lendsAppends: boolean;
  /** Bytes that the shell has room for in a state (encodeAcceptorState); default: any number. */
  readonly stateBytesMax?: number;
  /** True: the shell has a retired store, so backtracks may be accepted. */
  readonly keepsRetired?: boolean;
  /** How far the log of each pin of the state is linked; absent: none of it. */
  readonly pinsKept?: ReadonlyMap<string, Lsn>;
  readonly rules?: Rules;
}

/**
 * A storage node's side of the protocol: it promises, accepts, acknowledges, refuses. It decides; its shell stores. What
 * a message promises is sent only in answer to the event that says it is on disk. Section 6 of quorum-protocol.md.
 */
export class Acceptor {
  private readonly core: NodeCore;
  private readonly rules: Rules;
  private readonly lease: NodeLease;
  private readonly log: NodeLog;
  private readonly pins: NodePins;
  private readonly keepsRetired: boolean;

  constructor(options: AcceptorOptions) {
    this.rules = options.rules ?? trueRules;
    this.keepsRetired = options.keepsRetired ?? false;
    this.core = new NodeCore(
      { ...options, rules: this.rules },
      {
        dispatch: (received) => this.dispatch(received),
        answer: (received) => this.answer(received),
        rested: () => this.onRested(),
      },
    );
    const { leaseMs, promised } = options.state;
    this.lease = new NodeLease({ nowMs: options.nowMs, leaseMs, epoch: promised });
    this.log = new NodeLog(this.core);
    this.pins = new NodePins(this.core, options.pinsKept ?? new Map<string, Lsn>());
  }

  private onRested(): void {
    this.log.pullIfWanted();
    this.pins.pursueAll();
  }

  /** The state in force; what is just being persisted already shows. */
  get state(): AcceptorState {
    return this.core.state;
  }
  /** End of the synced log. */
  get scl(): Lsn {
    return this.core.scl;
  }
  /** End of the log, synced or not. */
  get end(): Lsn {
    return this.core.end;
  }
  get vdl(): Lsn {
    return this.core.vdl;
  }
  get vdlEpoch(): Epoch {
    return this.core.vdlEpoch;
  }
  /** How far feeds may go now. */
  get feedLimit(): Lsn {
    return readerLimit(this.core.servingView(), this.rules);
  }

  step(event: AcceptorEvent): AcceptorAction[] {
    if ("nowMs" in event) this.core.nowMs = event.nowMs;
    this.handle(event);
    return this.core.takeActions();
  }

  private handle(event: AcceptorEvent): void {
    const { core } = this;
    switch (event.kind) {
      case "started":
        return core.begin();
      case "received":
        return this.onReceived(event);
      case "persisted":
        return core.notePersisted();
      case "synced":
        return this.log.noteSynced(event.scl);
      case "logFull":
        return this.log.noteLogFull(event.scl);
      case "progress":
        return this.log.noteWorker(event);
      case "grantRevoked":
        this.log.noteWorker(event);
        return core.noteRevoked();
      case "logCut":
        return this.onLogCut(event.scl);
      case "pullFailed":
        return this.log.notePullFailed();
      case "pinKept":
        return this.pins.noteKept(event.pinId, event.to);
      case "pinPullFailed":
        return this.pins.notePullFailed(event.pinId);
      case "linkClosed":
        this.pins.noteLinkClosed(event.link);
        return this.log.noteLinkClosed(event.link);
      case "subscribersChanged":
        core.hasSubscribers = event.count > 0;
        return undefined;
      case "healthChanged":
        core.health = event.health;
        core.suspectTail = event.suspectTail;
        return undefined;
      case "storageNoted":
        core.logBytes = event.logBytes;
        core.healed = event.healed;
        return undefined;
      case "tick":
        return core.revisit();
      default:
        return unreachable(event);
    }
  }

  private onLogCut(scl: Lsn): void {
    const { core, rules } = this;
    const cut = this.state.pendingCut;
    this.log.forgetUnsynced();
    if (cut?.keepAside) this.pins.lose(rules.pinsCut(this.state.pins, cut.to));
    core.noteCut(scl);
  }

  private onReceived(received: Received): void {
    const { envelope, message } = received;
    const { nodeId, volumeId } = this.state;
    const isFromPeer = wordsOfPeers.has(message.kind);
    const isMine = envelope.volumeId === volumeId && (isFromPeer || envelope.target === nodeId);
    // An answer is never answered: two nodes would go on refusing each other's refusals for ever.
    if (!isMine)
      return questions.has(message.kind) ? this.core.refuse(received, "wrongTarget") : undefined;
    if (message.kind === "inspect") return this.onInspect(received);
    this.core.receive(received);
  }

  private dispatch(received: Received): void {
    const { core } = this;
    const { message } = received;
    switch (message.kind) {
      case "inspect":
        return this.onInspect(received);
      case "claim":
        return this.onClaim(received, message);
      case "elect":
        return this.onElect(received, message);
      case "relayElect":
        return this.onElect(received, message.electRecord);
      case "append":
        return this.log.onAppend(received, message);
      case "heartbeat":
        return this.onHeartbeat(received, message);
      case "configChange":
        return onConfigChange(core, received, message);
      case "floor":
        return onFloor(core, received, message);
      case "advanceLow":
        return onAdvanceLow(core, received, message);
      case "seal":
        return onSeal(core, received, message);
      case "release":
        return this.onRelease(received, message);
      case "pull":
        return onPull(core, received, message);
      case "pullData":
        return this.log.onPullData(received, message);
      case "notHere":
        return this.log.notePullFailed();
      case "getLog":
        return onGetLog(core, received, message);
      case "subscribe":
        return onSubscribe(core, received, message);
      case "pin":
        return this.pins.onPin(received, message);
      case "unpin":
        return this.pins.onUnpin(received, message);
      case "pinPull":
        return onPinPull(core, received, message);
      case "pinData":
        return this.pins.onPinData(message);
      default:
        // An answer that nobody asked for: a late one of an earlier link. It tells a node nothing.
        return undefined;
    }
  }

  // Ownership.

  private onInspect(received: Received): void {
    const { promised, accepted, sealed } = this.state;
    this.core.send(received, {
      kind: "state",
      ...this.core.position(),
      promised,
      accepted,
      sealed,
      health: this.core.health,
      logBytes: this.core.logBytes,
      hasSubscribers: this.core.hasSubscribers,
      healed: this.core.healed,
    });
  }

  private onClaim(received: Received, claim: Claim): void {
    const { core } = this;
    const { promised, promisedTo, accepted } = this.state;
    if (core.isOut(received)) return;
    const isAgain = claim.epoch === promised && claim.claimId === promisedTo;
    if (isAgain && accepted < claim.epoch) return this.answer(received);
    if (claim.epoch <= promised) return core.refuse(received, "stale");
    const ms = this.lease.waitMs(claim.epoch, core.nowMs);
    if (ms > 0) {
      this.lease.noteWaiting(claim.epoch, core.nowMs, this.state.leaseMs);
      return core.send(received, { kind: "wait", epoch: claim.epoch, ms });
    }
    // From here on no acknowledgement of an older epoch leaves: the worker stands still before `promised` moves.
    if (!core.isExclusive(received)) return;
    this.lease.notePromised(claim.epoch);
    const next = { ...this.state, promised: claim.epoch, promisedTo: claim.claimId };
    if (this.rules.mustPersistPromise()) return core.persist(next, received);
    core.assumePersisted(next);
    this.answer(received);
  }

  private onElect(received: Received, elect: Elect): void {
    const { core, keepsRetired } = this;
    // A damaged node follows the path that its peers relay, silently: what they cut it can never fill any more.
    const isRelayed = received.message.kind === "relayElect";
    const mayFollow = isRelayed && core.health === "damaged" && this.state.sealed === undefined;
    if (!mayFollow && core.isOut(received)) return;
    if (!this.rules.mayElect(this.state, elect.epoch)) return core.refuse(received, "stale");
    if (elect.epoch === this.state.accepted) return this.onElectAgain(received, elect);
    const isBacktrack = elect.history.at(-1)?.kind === "backtrack";
    if (isBacktrack && !keepsRetired) return core.refuse(received, "notSupported");
    if (!core.isExclusive(received)) return;
    const next = planElect(this.state, core.end, elect, { rules: this.rules, keepsRetired });
    if (!core.fits(next, received)) return;
    this.lease.notePromised(elect.epoch);
    this.log.noteElected(received);
    core.lowerVdl(sharedWith(this.state, elect));
    core.act({ kind: "historyChanged", history: next.history });
    core.persist(next, received, next.pendingCut ? "cut" : "answer");
  }

  /** A doubled or late Elect of the accepted epoch cuts nothing; it may bring a newer configuration. */
  private onElectAgain(received: Received, elect: Elect): void {
    this.log.noteDriver(received);
    const { configuration, floor } = elect;
    const change: ConfigChange = {
      kind: "configChange",
      epoch: elect.epoch,
      configuration,
      low: lsnZero,
      floor,
    };
    const next = planConfigChange(this.state, this.core.end, change);
    if (next.configuration === this.state.configuration) return this.answer(received);
    if (!this.core.fits(next, received)) return;
    this.core.persist(next, received);
  }

  // Heartbeats and leases (section 14).

  private onHeartbeat(received: Received, heartbeat: Heartbeat): void {
    const { core } = this;
    const { promised } = this.state;
    if (core.isOut(received)) return;
    if (!this.rules.mayConfirm(this.state, heartbeat.epoch)) {
      return core.refuse(received, heartbeat.epoch < promised ? "stale" : "notAccepted");
    }
    if (this.state.accepted === heartbeat.epoch) this.log.noteDriver(received);
    core.raiseVdl(heartbeat.vdl, heartbeat.epoch);
    // A longer lease than the state knows would be forgotten by a restart.
    if (heartbeat.leaseMs > this.state.leaseMs)
      return core.persist({ ...this.state, leaseMs: heartbeat.leaseMs }, received);
    this.answer(received);
  }

  private onRelease(received: Received, release: Release): void {
    const isReleased = this.lease.release(release.epoch, release.round);
    if (isReleased && this.state.leaseMs > 0)
      this.core.persist({ ...this.state, leaseMs: 0 }, received);
  }

  /** The handler's work is on disk: what it promised may be said. */
  private answer(received: Received): void {
    const { core } = this;
    const { message } = received;
    switch (message.kind) {
      case "claim": {
        const { epoch, claimId } = message;
        const { pins } = this.state;
        const position = core.position();
        return core.send(received, { kind: "promise", ...position, epoch, claimId, pins });
      }
      case "elect": {
        const { id } = this.state.configuration;
        const { epoch } = message;
        return core.send(received, { kind: "electAck", epoch, scl: this.scl, configuration: id });
      }
      case "heartbeat":
        return this.confirm(received, message);
      case "configChange": {
        // The one that was asked for: a late one, with an older low-water, must not pass for the newest.
        const { epoch, configuration } = message;
        return core.send(received, { kind: "configAck", epoch, configuration: configuration.id });
      }
      case "floor":
        return core.send(received, { ...message, kind: "floorAck" });
      case "pin":
        return this.pins.answerPin(received, message);
      case "unpin":
        return this.pins.answerUnpin(received, message);
      case "advanceLow":
        this.pins.lose(this.rules.pinsTrimmed(this.state.pins, this.state.base));
        return core.act({ kind: "dropLogBelow", lsn: this.state.base });
      case "seal":
        return core.send(received, { ...message, kind: "sealAck" });
      default:
        // RelayElect and Release have no answer.
        return undefined;
    }
  }

  private confirm(received: Received, heartbeat: Heartbeat): void {
    const { core } = this;
    const leaseMs = this.lease.grantable(heartbeat, core.nowMs);
    const { epoch, round } = heartbeat;
    this.lease.grant({ epoch, round, leaseMs }, core.nowMs);
    const { hasSubscribers } = core;
    // Before this node has accepted the epoch its SCL is that of another log, and must count for nothing.
    const scl = this.state.accepted === epoch ? this.scl : lsnZero;
    core.send(received, {
      kind: "heartbeatAck",
      epoch,
      round,
      scl,
      leaseMs,
      hasSubscribers,
    });
  }

  /** The laws that a node can see alone; after every step in tests and simulation. */
  checkInvariants(): void {
    const { state, scl, end } = this;
    assertSoundState(state);
    assert(state.base <= scl, "base is at most SCL");
    assert(scl <= end, "SCL is at most the end of the log");
    const granted = this.core.grantedEpoch;
    assert(
      granted === undefined || (granted === state.promised && granted === state.accepted),
      "a worker appends only for the epoch that the node promised and accepted",
    );
  }
}
