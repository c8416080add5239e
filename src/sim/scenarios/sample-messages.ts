import { epoch, timeline, volumeId } from "../../base/ids.ts";
import { advance } from "../../base/lsn.ts";
import {
  type Elect,
  extendHistory,
  type LogPosition,
  type MessageKind,
  type QuorumMessage,
} from "../../quorum/index.ts";
import type { SimNode } from "../sim-node.ts";
import type { Scene } from "./scene.ts";

const uuid = "99999999-0000-4000-8000-000000000001";
const successor = volumeId("99999999-2222-4333-8444-555555555555");

type Samples<K extends MessageKind> = {
  readonly [P in K]: Extract<QuorumMessage, { kind: P }>;
};
type Facts = ReturnType<typeof factsOf>;

/** One of every kind, of an epoch above what the node has promised where it has one: a forgotten kind does not compile. */
export function samplesFor(scene: Scene, node: SimNode): Samples<MessageKind> {
  const facts = factsOf(scene, node);
  return { ...ofOwners(facts), ...ofNodes(facts), ...ofReaders(facts) };
}

function factsOf(scene: Scene, node: SimNode) {
  const { state } = node.acceptor;
  const { configuration, history: path, base: from, floor } = state;
  const e = epoch(state.promised + 100);
  const at = node.log.end;
  const beyond = advance(at, 8);
  const line = timeline(9);
  const history = extendHistory(path, { epoch: e, timeline: line, start: from, kind: "backtrack" });
  const runs = [{ epoch: e, timeline: line, bytes: Buffer.from("log of nobody") }];
  const position: LogPosition = {
    history,
    scl: beyond,
    base: from,
    floor,
    vdl: beyond,
    vdlEpoch: e,
    configuration,
    suspectTail: false,
  };
  const elect: Elect = {
    kind: "elect",
    epoch: e,
    claimId: uuid,
    history,
    start: from,
    configuration,
    low: from,
    floor,
  };
  const counts = { checkedBytes: 12, healed: 3, unhealed: 0, compared: 5 };
  const pin = { pinId: uuid, path, from, to: at };
  const own = scene.instance(1).driver?.timeline ?? line;
  return {
    state,
    configuration,
    path,
    from,
    floor,
    e,
    at,
    beyond,
    line,
    own,
    history,
    runs,
    position,
    elect,
    counts,
    pin,
  };
}

/** Said by claimants and owners. */
function ofOwners({
  state,
  from,
  floor,
  e,
  at,
  beyond,
  elect,
  own,
  configuration,
  pin,
}: Facts): Samples<
  | "inspect"
  | "claim"
  | "elect"
  | "append"
  | "heartbeat"
  | "configChange"
  | "floor"
  | "advanceLow"
  | "pin"
  | "unpin"
  | "seal"
  | "release"
  | "scrub"
> {
  return {
    inspect: { kind: "inspect" },
    claim: { kind: "claim", epoch: e, claimId: uuid, claimant: "i3" },
    elect,
    append: {
      kind: "append",
      epoch: state.promised,
      timeline: own,
      lsn: at,
      vdl: beyond,
      payload: Buffer.from("log of nobody"),
    },
    heartbeat: { kind: "heartbeat", epoch: e, round: 1, vdl: beyond, leaseMs: 60_000 },
    configChange: {
      kind: "configChange",
      epoch: state.promised,
      configuration: { ...configuration, id: { epoch: state.promised, version: 99 } },
      low: from,
      floor,
    },
    floor: { kind: "floor", epoch: state.promised, lsn: at },
    advanceLow: { kind: "advanceLow", epoch: state.promised, lsn: at },
    pin: { kind: "pin", epoch: state.promised, ...pin },
    unpin: { kind: "unpin", epoch: state.promised, pinId: uuid },
    seal: { kind: "seal", epoch: state.promised, successor },
    release: { kind: "release", epoch: state.promised, round: 1 },
    scrub: { kind: "scrub" },
  };
}

/** Said by nodes to owners. */
function ofNodes({
  configuration,
  e,
  at,
  beyond,
  pin,
  position,
  counts,
}: Facts): Samples<
  | "state"
  | "promise"
  | "refuse"
  | "wait"
  | "electAck"
  | "appendAck"
  | "gap"
  | "heartbeatAck"
  | "configAck"
  | "floorAck"
  | "pinAck"
  | "sealAck"
  | "scrubProgress"
  | "scrubReport"
> {
  return {
    state: {
      kind: "state",
      ...position,
      promised: e,
      accepted: e,
      sealed: undefined,
      health: "ok",
      logBytes: 1,
      hasSubscribers: false,
      healed: 1,
    },
    promise: { kind: "promise", ...position, epoch: e, claimId: uuid, pins: [pin] },
    refuse: { kind: "refuse", epoch: e, promised: e, reason: "stale" },
    wait: { kind: "wait", epoch: e, ms: 5 },
    electAck: { kind: "electAck", epoch: e, scl: beyond, configuration: configuration.id },
    appendAck: { kind: "appendAck", epoch: e, scl: beyond, hasSubscribers: false },
    gap: { kind: "gap", epoch: e, end: beyond },
    heartbeatAck: {
      kind: "heartbeatAck",
      epoch: e,
      round: 1,
      scl: beyond,
      leaseMs: 60_000,
      hasSubscribers: false,
    },
    configAck: { kind: "configAck", epoch: e, configuration: configuration.id },
    floorAck: { kind: "floorAck", epoch: e, lsn: at },
    pinAck: { kind: "pinAck", isHeld: true, epoch: e, pinId: uuid },
    sealAck: { kind: "sealAck", epoch: e, successor },
    scrubProgress: { kind: "scrubProgress", checkedBytes: 12, totalBytes: 24 },
    scrubReport: { kind: "scrubReport", ...counts },
  };
}

/** Said between nodes, and to readers. */
function ofReaders({
  path,
  from,
  e,
  at,
  beyond,
  history,
  runs,
  elect,
}: Facts): Samples<
  | "pull"
  | "pullData"
  | "relayElect"
  | "pinPull"
  | "pinData"
  | "notHere"
  | "getLog"
  | "subscribe"
  | "digest"
  | "logData"
  | "feedData"
  | "pathChanged"
  | "digestData"
> {
  return {
    pull: { kind: "pull", from, maxBytes: 4096, accepted: e },
    pullData: { kind: "pullData", lsn: at, runs, accepted: e },
    relayElect: { kind: "relayElect", electRecord: elect },
    pinPull: { kind: "pinPull", pinId: uuid, from },
    pinData: { kind: "pinData", pinId: uuid, lsn: from, runs },
    notHere: { kind: "notHere", base: beyond, scl: beyond },
    getLog: { kind: "getLog", path, from, to: at, maxVdl: true },
    subscribe: { kind: "subscribe", path, from },
    digest: { kind: "digest", path, from, to: at },
    logData: { kind: "logData", lsn: at, runs },
    feedData: { kind: "feedData", lsn: at, runs, vdl: beyond, vdlEpoch: e, history },
    pathChanged: { kind: "pathChanged", history },
    digestData: { kind: "digestData", from, to: at, hash: uuid },
  };
}
