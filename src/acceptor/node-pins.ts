import type { Epoch, NodeId } from "../base/ids.ts";
import { type Lsn, lsnMaxOf, lsnMin } from "../base/lsn.ts";
import {
  commonPrefix,
  membersOf,
  type Pin,
  type PinData,
  type PinRequest,
  type Unpin,
} from "../quorum/index.ts";
import type { Received, Reply } from "./acceptor-io.ts";
import type { NodeCore } from "./node-core.ts";
import { piecesOnPath } from "./pieces.ts";

/** A peer that was asked for a pin's log and said nothing is given up after this. */
const answerPatienceMs = 2_000;
/** Between two attempts on a pin that nobody could help with. */
const tryAgainMs = 500;

/** What is being done for a pin that is not kept whole. */
interface Work {
  doing: "linkingLog" | "linkingRetired" | "pulling" | undefined;
  sinceMs: number;
  restsUntilMs: number;
  /** Where the retired store was asked last: it had nothing further. */
  triedRetiredAt: Lsn | undefined;
  turn: number;
}

/**
 * The clones' pins of a node (section 13): log that stays whatever happens to the log. A pin is in the state first, then
 * its log is linked, and acknowledged when all of it is; a node that lacks some of it asks its peers (PinPull).
 */
export class NodePins {
  private readonly core: NodeCore;
  /** How far each pin's log is kept, from its `from` on. */
  private readonly kept: Map<string, Lsn>;
  private readonly asked = new Map<string, { readonly reply: Reply; readonly epoch: Epoch }>();
  private readonly work = new Map<string, Work>();

  /** `kept` is what the shell has found linked at its start. */
  constructor(core: NodeCore, kept: ReadonlyMap<string, Lsn>) {
    this.core = core;
    this.kept = new Map(kept);
  }

  onPin(received: Received, request: PinRequest): void {
    const { core } = this;
    if (core.isOut(received) || !core.isCurrent(received, request.epoch)) return;
    const { pinId, path, from, to } = request;
    const { pins } = core.state;
    if (pins.some((one) => one.pinId === pinId)) return this.answerPin(received, request);
    if (from > to || path.length === 0) return core.refuse(received, "notSupported");
    const next = { ...core.state, pins: [...pins, { pinId, path, from, to }] };
    if (core.fits(next, received)) core.persist(next, received);
  }

  /** The pin is in the state on disk. */
  answerPin(received: Received, request: PinRequest): void {
    const { link, envelope } = received;
    const { epoch, pinId } = request;
    this.asked.set(pinId, { reply: { link, requestId: envelope.requestId }, epoch });
    this.pursue(pinId);
  }

  onUnpin(received: Received, request: Unpin): void {
    const { core } = this;
    if (!core.isCurrent(received, request.epoch)) return;
    const pins = core.state.pins.filter((one) => one.pinId !== request.pinId);
    if (pins.length === core.state.pins.length) return this.answerUnpin(received, request);
    core.persist({ ...core.state, pins }, received);
  }

  /** The state on disk does not have the pin any more: its files may go. */
  answerUnpin(received: Received, request: Unpin): void {
    const { pinId, epoch } = request;
    if (this.kept.delete(pinId) || this.work.has(pinId)) this.core.act({ kind: "dropPin", pinId });
    this.asked.delete(pinId);
    this.work.delete(pinId);
    this.core.send(received, { kind: "pinAck", epoch, pinId, isHeld: false });
  }

  /** More of the pin's log is linked, or as much as before. */
  noteKept(pinId: string, to: Lsn): void {
    const pin = this.pin(pinId);
    if (!pin) return;
    const work = this.workOn(pinId);
    const isProgress = to > this.keptTo(pin);
    if (isProgress) this.kept.set(pinId, to);
    // The retired store had nothing: ask a peer at once. Else there is no space, or the log changed: a little later.
    else if (work.doing !== "linkingRetired") work.restsUntilMs = this.core.nowMs + tryAgainMs;
    work.doing = undefined;
    this.pursue(pinId);
  }

  notePullFailed(pinId: string): void {
    const work = this.workOn(pinId);
    work.doing = undefined;
    work.turn++;
    work.restsUntilMs = this.core.nowMs + tryAgainMs;
  }

  onPinData(data: PinData): void {
    const pin = this.pin(data.pinId);
    if (!pin) return;
    const at = this.keptTo(pin);
    const pieces = piecesOnPath(pin.path, at, data, this.core.rules.mayFill);
    if (pieces.length === 0) return this.notePullFailed(data.pinId);
    const runs = pieces.map(({ run, bytes }) => ({ ...run, bytes }));
    this.begin(data.pinId, "pulling");
    this.core.act({ kind: "writePin", pin, lsn: at, runs });
  }

  noteLinkClosed(link: number): void {
    for (const [pinId, { reply }] of this.asked) if (reply.link === link) this.asked.delete(pinId);
  }

  /** Whatever is not kept whole and not being worked on is taken up. */
  pursueAll(): void {
    for (const { pinId } of this.core.state.pins) this.pursue(pinId);
  }

  /** Pins that a cut or a low-water takes along: none, by the true rules. */
  lose(lost: readonly Pin[]): void {
    for (const { pinId } of lost) this.core.act({ kind: "dropPin", pinId });
  }

  private pursue(pinId: string): void {
    const { core } = this;
    const pin = this.pin(pinId);
    if (!pin || core.health === "damaged" || core.health === "failed") return;
    const at = this.keptTo(pin);
    if (at >= pin.to) return this.acknowledge(pin);
    const work = this.workOn(pinId);
    const isUnderWay = work.doing !== undefined && core.nowMs - work.sinceMs < answerPatienceMs;
    if (isUnderWay || core.nowMs < work.restsUntilMs) return;
    // Whoever was asked has said nothing: the next one.
    if (work.doing === "pulling") work.turn++;
    work.doing = undefined;
    const logTo = this.inLog(pin, at);
    if (logTo === "soon") return;
    if (logTo > at || work.triedRetiredAt !== at) {
      work.triedRetiredAt = at;
      this.begin(pinId, logTo > at ? "linkingLog" : "linkingRetired");
      return core.act({ kind: "linkPin", pin, from: at, logTo });
    }
    this.pull(pin, at, work);
  }

  private pull(pin: Pin, from: Lsn, work: Work): void {
    const { configuration, nodeId } = this.core.state;
    const peers = membersOf(configuration).filter((member) => member.nodeId !== nodeId);
    const peer: NodeId | undefined = peers[work.turn % Math.max(1, peers.length)]?.nodeId;
    if (peer === undefined) return;
    this.begin(pin.pinId, "pulling");
    this.core.act({ kind: "pullPin", peer, pinId: pin.pinId, from });
  }

  /** How far the log has the pin's bytes from `at` on; `soon`: as far as it goes, and it will go further. */
  private inLog(pin: Pin, at: Lsn): Lsn | "soon" {
    const { scl, state } = this.core;
    const { base, history } = state;
    if (at < base) return at;
    const from = lsnMaxOf(base, pin.path[0]?.start ?? base);
    const limit = pin.to;
    const shared = from >= limit ? limit : commonPrefix(pin.path, history, { from, limit });
    if (scl < shared && at < shared) return "soon";
    return lsnMaxOf(lsnMin(shared, scl), at);
  }

  private acknowledge(pin: Pin): void {
    const { core } = this;
    const { pinId } = pin;
    const asked = this.asked.get(pinId);
    this.work.delete(pinId);
    if (!asked) return;
    this.asked.delete(pinId);
    const { reply, epoch } = asked;
    if (core.rules.mayAcknowledge(core.state, epoch))
      core.sendTo(reply, { kind: "pinAck", epoch, pinId, isHeld: true });
  }

  private begin(pinId: string, doing: Work["doing"]): void {
    const work = this.workOn(pinId);
    work.doing = doing;
    work.sinceMs = this.core.nowMs;
  }
  private workOn(pinId: string): Work {
    const work: Work = this.work.get(pinId) ?? {
      doing: undefined,
      sinceMs: 0,
      restsUntilMs: Number.NEGATIVE_INFINITY,
      triedRetiredAt: undefined,
      turn: 0,
    };
    this.work.set(pinId, work);
    return work;
  }
  private pin(pinId: string): Pin | undefined {
    return this.core.state.pins.find((one) => one.pinId === pinId);
  }
  private keptTo(pin: Pin): Lsn {
    return this.kept.get(pin.pinId) ?? pin.from;
  }
}
