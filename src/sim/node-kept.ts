import type { AcceptorAction } from "../acceptor/index.ts";
import { advance, type Lsn, lsnMin } from "../base/lsn.ts";
import {
  encodeMessage,
  type History,
  type Pin,
  type QuorumMessage,
  type Run,
} from "../quorum/index.ts";
import { KeptTails } from "./kept-tails.ts";
import type { SimNode } from "./sim-node.ts";

export type KeptAction = Extract<
  AcceptorAction,
  { kind: "readKept" | "linkPin" | "writePin" | "pullPin" | "dropPin" }
>;

/** What a node keeps beside its log: tails that backtracks cut off, and the pins of clones. On its disk, synced. */
export class NodeKept {
  readonly tails = new KeptTails();
  private pins = new Map<string, KeptTails>();
  private readonly node: SimNode;

  constructor(node: SimNode) {
    this.node = node;
  }

  /** How far each pin of the state is kept; what is of no pin of the state goes, as at the start of a store. */
  found(pins: readonly Pin[]): Map<string, Lsn> {
    const known = new Set(pins.map((pin) => pin.pinId));
    for (const pinId of this.pins.keys()) if (!known.has(pinId)) this.drop(pinId);
    return new Map(pins.map((pin) => [pin.pinId, this.keptTo(pin)]));
  }

  /** How far the pin's log is kept, from its beginning on. */
  keptTo(pin: Pin): Lsn {
    const kept = this.pins.get(pin.pinId);
    let at = pin.from;
    while (kept && at < pin.to) {
      const piece = kept.next(at, pin.path, pin.to);
      if (!piece) break;
      at = advance(at, piece.bytes.length);
    }
    return at;
  }

  /** What the node has of this path: in its log, and from where that goes another way, kept aside. */
  runsOn(path: History, from: Lsn, to: Lsn): Run[] {
    const { log } = this.node;
    const inLog = new KeptTails();
    inLog.keep(from, log.base <= from ? log.runs(from, log.end) : []);
    const runs = taken(inLog, path, from, to);
    const at = runs.reduce((end, { bytes }) => advance(end, bytes.length), from);
    return [...runs, ...taken(this.tails, path, at, to)];
  }

  perform(action: KeptAction): void {
    switch (action.kind) {
      case "readKept":
        return this.read(action);
      case "linkPin":
        return this.link(action);
      case "writePin":
        this.node.world.counters.note("pins pulled");
        return this.keep(action.pin, action.lsn, copies(action.runs));
      case "pullPin":
        return this.pull(action);
      case "dropPin":
        return this.drop(action.pinId);
    }
  }

  private drop(pinId: string): void {
    this.pins.delete(pinId);
    this.node.world.clones.noteNotKept(this.node, pinId);
  }

  private read(action: KeptAction & { kind: "readKept" }): void {
    const { as, path, from, onlyPins, reply } = action;
    const to = lsnMin(action.to, advance(from, action.maxBytes));
    const stores = [...(onlyPins ? [] : [this.tails]), ...this.pins.values()];
    const runs = stores.map((store) => taken(store, path, from, to)).find((one) => one.length > 0);
    const { acceptor } = this.node;
    const { base } = acceptor.state;
    let said: QuorumMessage;
    if (!runs) said = { kind: "notHere", base, scl: acceptor.scl };
    else if (as.kind === "logData") said = { kind: "logData", lsn: from, runs };
    else said = { kind: "pinData", pinId: as.pinId, lsn: from, runs };
    this.node.send(reply.link, reply.requestId, said);
  }

  private link(action: KeptAction & { kind: "linkPin" }): void {
    const { pin, from, logTo } = action;
    // The files are named now; what the log does meanwhile does not reach them.
    const runs = this.node.log.runs(from, logTo);
    const rest = taken(this.tails, pin.path, logTo, pin.to);
    this.keep(pin, from, [...runs, ...rest]);
  }

  private keep(pin: Pin, from: Lsn, runs: readonly Run[]): void {
    const { node } = this;
    const channel = `${node.name} pin kept`;
    node.later(node.diskMs(node.world.queue.diceFor(channel)), "pin kept", () => {
      const isWanted = node.acceptor.state.pins.some((one) => one.pinId === pin.pinId);
      if (!isWanted) return;
      const kept = this.pins.get(pin.pinId) ?? new KeptTails();
      this.pins.set(pin.pinId, kept);
      if (node.hasSpace) kept.keep(from, runs);
      const to = this.keptTo(pin);
      if (to === pin.to) this.noteWhole(pin, kept);
      node.post({ kind: "pinKept", pinId: pin.pinId, to, nowMs: node.nowMs });
    });
  }

  private noteWhole(pin: Pin, kept: KeptTails): void {
    const runs = taken(kept, pin.path, pin.from, pin.to);
    const bytes = Buffer.concat(runs.map((run) => run.bytes));
    this.node.world.clones.noteKept(this.node, pin, bytes);
  }

  private pull(action: KeptAction & { kind: "pullPin" }): void {
    const { node } = this;
    const { peer, pinId, from } = action;
    const to = node.world.nameOfNode(peer);
    if (to === undefined) return node.post({ kind: "pinPullFailed", pinId, nowMs: node.nowMs });
    const { volumeId } = node.options;
    const envelope = { volumeId, sender: node.name, target: peer, requestId: 1n };
    const message: QuorumMessage = { kind: "pinPull", pinId, from };
    node.world.counters.note("pin pulls");
    node.world.network.send(node.name, to, "pinPull", encodeMessage(envelope, message));
  }
}

function copies(runs: readonly Run[]): Run[] {
  return runs.map((run) => ({ ...run, bytes: Buffer.from(run.bytes) }));
}

/** What the store has of this path from `from` on. */
function taken(store: KeptTails, path: History, from: Lsn, to: Lsn): Run[] {
  const runs: Run[] = [];
  let at = from;
  while (at < to) {
    const piece = store.next(at, path, to);
    if (!piece) break;
    runs.push({ ...piece, bytes: Buffer.from(piece.bytes) });
    at = advance(at, piece.bytes.length);
  }
  return runs;
}
