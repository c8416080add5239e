import { assert } from "../base/assert.ts";
import { Deque } from "../base/deque.ts";
import { type Epoch, epochNone, type Timeline } from "../base/ids.ts";
import { advance, type Lsn, lsnMin, lsnZero } from "../base/lsn.ts";
import type { AcceptorAction, Received, Reply } from "./acceptor-io.ts";
import { type AcceptorState, assertSoundState, encodeAcceptorState } from "./acceptor-state.ts";
import { effectiveHistory } from "../quorum/index.ts";
import type { LogPosition, NodeHealth, QuorumMessage, RefuseReason } from "../quorum/index.ts";
import type { Rules } from "../quorum/index.ts";
import type { ServingView } from "./serving.ts";

/**
 * What the node is in the middle of. Handlers are atomic (section 6): while one waits for the disk or the worker, other
 * messages wait behind it.
 */
type Phase =
  | { readonly kind: "starting" }
  | { readonly kind: "idle" }
  | { readonly kind: "revoking"; readonly received: Received }
  | {
      readonly kind: "persisting";
      readonly received: Received | undefined;
      readonly then: "answer" | "cut";
    }
  | { readonly kind: "cutting"; readonly received: Received | undefined }
  | { readonly kind: "filling"; readonly until: Lsn };

/** Messages that may wait behind a busy node; more are dropped, as a lossy network would. */
const waitingMax = 1024;

/** What the core leaves to the acceptor. */
export interface Handlers {
  /** Decide on a message; the node is idle. */
  dispatch(received: Received): void;
  /** The handler of this message is done and on disk: say so. */
  answer(received: Received): void;
  /** Everything that waited was handled. */
  rested(): void;
}

/**
 * The part of a storage node that keeps order: one handler at a time, the disk before the word, the worker stopped
 * before the log or the promise changes under it. It knows nothing of what the messages mean.
 */
export class NodeCore {
  readonly rules: Rules;
  nowMs: number;
  vdl: Lsn = lsnZero;
  vdlEpoch: Epoch = epochNone;
  health: NodeHealth = "ok";
  suspectTail = false;
  hasSubscribers = false;
  logBytes = 0;
  healed = 0;
  private phase: Phase = { kind: "starting" };
  private current: AcceptorState;
  private syncedLsn: Lsn;
  private endLsn: Lsn;
  private granted: Epoch | undefined;
  private messageEpoch: Epoch | undefined;
  private readonly lendsAppends: boolean;
  private readonly stateBytesMax: number;
  private readonly handlers: Handlers;
  private readonly waiting = new Deque<Received>();
  private actions: AcceptorAction[] = [];

  constructor(
    start: {
      readonly state: AcceptorState;
      readonly scl: Lsn;
      readonly nowMs: number;
      readonly lendsAppends: boolean;
      readonly stateBytesMax?: number;
      readonly rules: Rules;
    },
    handlers: Handlers,
  ) {
    assertSoundState(start.state);
    this.current = start.state;
    this.syncedLsn = start.scl;
    this.endLsn = start.scl;
    this.nowMs = start.nowMs;
    this.lendsAppends = start.lendsAppends;
    this.stateBytesMax = start.stateBytesMax ?? Number.POSITIVE_INFINITY;
    this.rules = start.rules;
    this.handlers = handlers;
  }

  get state(): AcceptorState {
    return this.current;
  }
  get scl(): Lsn {
    return this.syncedLsn;
  }
  get end(): Lsn {
    return this.endLsn;
  }
  get isIdle(): boolean {
    return this.phase.kind === "idle";
  }
  get grantedEpoch(): Epoch | undefined {
    return this.granted;
  }
  /** First LSN of the accepted epoch. */
  get start(): Lsn {
    return this.current.history.at(-1)?.start ?? lsnZero;
  }

  takeActions(): AcceptorAction[] {
    const { actions } = this;
    this.actions = [];
    return actions;
  }
  act(action: AcceptorAction): void {
    this.actions.push(action);
  }

  // One handler at a time.

  begin(): void {
    assert(this.phase.kind === "starting", "a node starts once");
    if (this.current.pendingCut) this.cut(undefined);
    else this.rest(undefined);
  }

  receive(received: Received): void {
    if (!this.isIdle) {
      if (this.waiting.length < waitingMax) this.waiting.pushBack(received);
      return;
    }
    this.handlers.dispatch(received);
    if (this.isIdle) this.rest(undefined);
  }

  /** True if the store has room for this state; refused if not, before anything of it is done. */
  fits(state: AcceptorState, received: Received): boolean {
    if (encodeAcceptorState(state).length <= this.stateBytesMax) return true;
    this.refuse(received, "outgrown");
    return false;
  }

  /** Writes the state; then cuts the log, if told; then answers the message. */
  persist(state: AcceptorState, received: Received | undefined, then: "answer" | "cut" = "answer") {
    assert(state.promised >= this.current.promised, "I6: promised never falls");
    assertSoundState(state);
    this.current = state;
    this.phase = { kind: "persisting", received, then };
    this.actions.push({ kind: "persist", state });
  }

  /** For the mutation that forgets to write (M9). */
  assumePersisted(state: AcceptorState): void {
    this.current = state;
  }

  notePersisted(): void {
    const { phase } = this;
    assert(phase.kind === "persisting", "a state is persisted only when asked");
    if (phase.then === "cut") this.cut(phase.received);
    else this.rest(phase.received);
  }

  private cut(received: Received | undefined): void {
    const { pendingCut, history } = this.current;
    assert(pendingCut !== undefined, "a cut is in the state before it is made");
    assert(this.granted === undefined, "the log is cut only while no worker may append");
    this.phase = { kind: "cutting", received };
    this.actions.push({ kind: "cutLog", cut: pendingCut, history });
  }

  noteCut(scl: Lsn): void {
    const { phase } = this;
    const { pendingCut } = this.current;
    assert(phase.kind === "cutting" && pendingCut !== undefined, "a log is cut only when asked");
    this.endLsn = scl;
    this.syncedLsn = scl;
    const base = pendingCut.isRebase ? pendingCut.to : this.current.base;
    // Cleared before anything may be appended: a restart must not cut again what was acknowledged since.
    this.persist({ ...this.current, base, pendingCut: undefined }, phase.received);
  }

  /** True if no worker is appending; else it is stopped first, and the message is dispatched again. */
  isExclusive(received: Received): boolean {
    if (this.granted === undefined) return true;
    this.phase = { kind: "revoking", received };
    this.actions.push({ kind: "revokeGrant" });
    return false;
  }

  /** After noteWorker has told where the worker stopped. */
  noteRevoked(): void {
    const { phase } = this;
    assert(phase.kind === "revoking", "a grant is revoked only when asked");
    this.granted = undefined;
    this.phase = { kind: "idle" };
    this.handlers.dispatch(phase.received);
    if (this.isIdle) this.rest(undefined);
  }

  /** Other messages wait until what was filled is synced. */
  awaitFill(): void {
    this.phase = { kind: "filling", until: this.endLsn };
  }

  /** Time has passed, or the disk is well again: perhaps there is something to lend or to pull. */
  revisit(): void {
    if (this.isIdle) this.rest(undefined);
  }

  /** The handler under way is done: answer it, take up what waited, lend the append path. */
  private rest(answered: Received | undefined): void {
    this.phase = { kind: "idle" };
    if (answered) this.handlers.answer(answered);
    while (this.isIdle) {
      const next = this.waiting.popFront();
      if (!next) break;
      this.handlers.dispatch(next);
    }
    if (!this.isIdle) return;
    this.lend();
    this.handlers.rested();
  }

  private lend(): void {
    const { promised, accepted, sealed } = this.current;
    if (!this.lendsAppends || this.granted !== undefined || accepted === epochNone) return;
    // What came as a message once in this epoch goes on as messages: one path at a time.
    if (this.messageEpoch === accepted || this.health !== "ok") return;
    if (promised !== accepted || sealed !== undefined || this.endLsn !== this.syncedLsn) return;
    this.granted = accepted;
    const vdl = this.vdlEpoch === accepted ? this.vdl : lsnZero;
    this.act({ kind: "grant", epoch: accepted, start: this.start, end: this.endLsn, vdl });
  }

  // The log.

  /** Appends of the accepted epoch come as messages (over TLS, or in a simulator without threads): lend no more. */
  keepAppends(): void {
    this.messageEpoch = this.current.accepted;
  }

  /** Appends at the end; synced later. */
  write(piece: { readonly epoch: Epoch; readonly timeline: Timeline; readonly bytes: Uint8Array }) {
    assert(this.granted === undefined, "one thread at a time appends to the log");
    this.actions.push({ kind: "writeLog", lsn: this.endLsn, ...piece });
    this.endLsn = advance(this.endLsn, piece.bytes.length);
  }

  /** What was written here is synced this far; behind a hole that is filled, what was there before, too. */
  noteSynced(scl: Lsn): void {
    assert(scl >= this.syncedLsn, "SCL falls only by a cut");
    assert(
      scl <= this.endLsn || this.health === "damaged",
      "nothing is synced that was not written",
    );
    this.syncedLsn = scl;
    if (scl > this.endLsn) this.endLsn = scl;
  }

  /** The worker, under the grant in force, has written and synced this far. True if that is news. */
  noteWorker(scl: Lsn): boolean {
    assert(this.granted !== undefined, "only a worker with a grant is heard");
    assert(scl >= this.syncedLsn, "SCL falls only by a cut");
    const isNews = scl > this.syncedLsn;
    this.syncedLsn = scl;
    this.endLsn = scl;
    return isNews;
  }

  /** True if a fill was waited for, and is synced now. */
  get isFillSynced(): boolean {
    return this.phase.kind === "filling" && this.syncedLsn >= this.phase.until;
  }

  /** Ends the wait for a fill; what waited behind it is handled. */
  endFill(): void {
    assert(this.isFillSynced, "a fill ends when it is synced");
    this.rest(undefined);
  }

  /** What is not synced was dropped for want of space; nothing was said of it. */
  dropUnsynced(scl: Lsn): void {
    this.noteSynced(scl);
    this.endLsn = scl;
    if (this.health === "ok") this.health = "full";
  }

  /** A fill that was waited for has been dropped: what waited behind it is handled. */
  abandonFill(): void {
    if (this.phase.kind === "filling") this.rest(undefined);
  }

  raiseVdl(vdl: Lsn, epoch: Epoch): void {
    if (epoch !== this.current.accepted || vdl <= this.vdl) return;
    this.vdl = vdl;
    this.vdlEpoch = epoch;
    this.act({ kind: "vdlAdvanced", vdl, vdlEpoch: epoch });
  }

  /** What was heard of beyond this is about a path that was left. */
  lowerVdl(shared: Lsn): void {
    this.vdl = lsnMin(this.vdl, shared);
  }

  // Words.

  send(received: Received, message: QuorumMessage): void {
    this.sendTo({ link: received.link, requestId: received.envelope.requestId }, message);
  }
  sendTo(reply: Reply, message: QuorumMessage): void {
    this.actions.push({ kind: "send", reply, message });
  }

  refuse(received: Received, reason: RefuseReason): void {
    const { message } = received;
    const epoch = "epoch" in message ? message.epoch : epochNone;
    this.send(received, { kind: "refuse", epoch, promised: this.current.promised, reason });
  }

  /** Sealed and damaged nodes take no part: refused. */
  isOut(received: Received): boolean {
    const isDamaged = this.health === "damaged" || this.health === "failed";
    if (this.current.sealed !== undefined) this.refuse(received, "sealed");
    else if (isDamaged) this.refuse(received, "damaged");
    else return false;
    return true;
  }

  /** True if this node is in `epoch`; refused if not. */
  isCurrent(received: Received, epoch: Epoch): boolean {
    const { promised, accepted, sealed } = this.current;
    if (promised === epoch && accepted === epoch && sealed === undefined) return true;
    this.refuse(received, epoch < promised ? "stale" : "notAccepted");
    return false;
  }

  position(): LogPosition {
    const { suspectTail } = this;
    const { history, base, floor, configuration } = this.current;
    return {
      history: effectiveHistory(history, this.syncedLsn),
      scl: this.syncedLsn,
      base,
      floor,
      vdl: this.vdl,
      vdlEpoch: this.vdlEpoch,
      configuration,
      suspectTail,
    };
  }

  servingView(): ServingView {
    const { accepted, history, base } = this.current;
    const { vdl, vdlEpoch } = this;
    return { accepted, history, base, scl: this.syncedLsn, vdl, vdlEpoch };
  }
}
