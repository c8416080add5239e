/** What a node does at its limits: no space for the log, none for the state, and a log with a hole in it. */
import { describe, expect, it } from "vitest";
import { epoch, nodeId, timeline, volumeId } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import {
  Acceptor,
  type AcceptorAction,
  type AcceptorEvent,
  encodeAcceptorState,
  formattedState,
} from "./index.ts";
import { type Elect, memberSet, type NodeHealth, type QuorumMessage } from "../quorum/index.ts";

const volume = volumeId("11111111-2222-4333-8444-555555555555");
const self = nodeId("00000000-0000-4000-8000-000000000001");
const peer = nodeId("00000000-0000-4000-8000-000000000002");
const claimId = "99999999-0000-4000-8000-000000000001";
const members = [self, peer].map((one) => ({ nodeId: one, az: "a", kind: "full" as const }));

function anElect(of: number, start: bigint, path: Elect["history"]): Elect {
  const entry = {
    epoch: epoch(of),
    timeline: timeline(1),
    start: lsn(start),
    kind: "branch",
  } as const;
  return {
    kind: "elect",
    epoch: epoch(of),
    claimId,
    history: [...path, entry],
    start: lsn(start),
    configuration: { id: { epoch: epoch(of), version: 1 }, sets: [memberSet(members)] },
    low: lsn(1000n),
    floor: lsn(1000n),
  };
}

/** A node in epoch 3, which began at 1000; its log ends at 1500. */
function aNode(options: { stateBytesMax?: number; health?: NodeHealth } = {}) {
  const electRecord = anElect(3, 1000n, []);
  const state = {
    ...formattedState({ volumeId: volume, nodeId: self, base: lsn(1000n) }),
    promised: epoch(3),
    promisedTo: claimId,
    accepted: epoch(3),
    history: electRecord.history,
    configuration: electRecord.configuration,
    electRecord,
  };
  const { stateBytesMax = encodeAcceptorState(state).length + 1000 } = options;
  const acceptor = new Acceptor({
    state,
    scl: lsn(1500n),
    nowMs: 0,
    lendsAppends: false,
    stateBytesMax,
  });
  const step = (event: AcceptorEvent): string[] => {
    const said = acceptor.step(event).map(describeAction);
    acceptor.checkInvariants();
    return said;
  };
  const receive = (message: QuorumMessage, nowMs = 1): string[] => {
    const envelope = { volumeId: volume, sender: "test", target: self, requestId: 7n };
    return step({ kind: "received", link: 1, envelope, message, nowMs });
  };
  const health = options.health ?? "ok";
  step({ kind: "healthChanged", health, suspectTail: false });
  step({ kind: "started", nowMs: 0 });
  return { acceptor, state, step, receive };
}

function describeAction(action: AcceptorAction): string {
  if (action.kind !== "send") return action.kind;
  const { message } = action;
  if (message.kind === "refuse") return `refuse ${message.reason}`;
  return "scl" in message ? `${message.kind} scl ${message.scl}` : message.kind;
}

const claim = (of: number): QuorumMessage => ({
  kind: "claim",
  epoch: epoch(of),
  claimId,
  claimant: "test",
});
const pulled = (of: number, length: number): QuorumMessage => ({
  kind: "pullData",
  lsn: lsn(1500n),
  accepted: epoch(of),
  runs: [{ epoch: epoch(of), timeline: timeline(1), bytes: Buffer.alloc(length) }],
});

describe("a node without space", () => {
  it("gives up the fill it waits for, and promises, is elected and asks for leases again", () => {
    const { acceptor, state, step, receive } = aNode();
    expect(receive(pulled(3, 300))).toEqual(["writeLog"]);
    expect(receive(claim(4))).toEqual([]);
    const heartbeat = { kind: "heartbeat", epoch: epoch(3), round: 1, vdl: lsn(0n), leaseMs: 0 };
    expect(receive(heartbeat as QuorumMessage)).toEqual([]);
    // A hundred bytes still had room.
    expect(step({ kind: "logFull", scl: lsn(1600n), nowMs: 2 })).toEqual(["persist"]);
    expect(step({ kind: "persisted", nowMs: 3 })).toEqual(["promise scl 1600", "refuse stale"]);
    expect([acceptor.scl, acceptor.end]).toEqual([1600n, 1600n]);
    receive(anElect(4, 1600n, state.history));
    expect(step({ kind: "persisted", nowMs: 4 })).toEqual(["electAck scl 1600"]);
  });

  it("refuses the appends that were dropped, acknowledges those that were not, and asks no peer", () => {
    const { step, receive } = aNode();
    const append = (at: bigint): QuorumMessage => ({
      kind: "append",
      epoch: epoch(3),
      timeline: timeline(1),
      lsn: lsn(at),
      vdl: lsn(1000n),
      payload: Buffer.alloc(100),
    });
    receive(append(1500n));
    receive(append(1600n));
    expect(step({ kind: "logFull", scl: lsn(1600n), nowMs: 2 })).toEqual([
      "appendAck scl 1600",
      "refuse full",
    ]);
    expect(receive(append(1600n))).toEqual(["refuse full"]);
    expect(step({ kind: "tick", nowMs: 60_000 })).toEqual([]);
    step({ kind: "healthChanged", health: "ok", suspectTail: false });
    expect(receive(append(1700n))).toEqual(["gap"]);
    expect(step({ kind: "tick", nowMs: 60_500 })).toEqual(["pull"]);
  });

  it("damaged as well, pauses between its attempts to fill itself", () => {
    const { state, step, receive } = aNode({ health: "damaged" });
    // A damaged node asks without waiting for anything: the first pull is under way already.
    receive({ kind: "relayElect", electRecord: anElect(4, 3000n, state.history) });
    expect(step({ kind: "persisted", nowMs: 10 })).toEqual([]);
    expect(receive(pulled(3, 300), 20)).toEqual(["writeLog"]);
    expect(step({ kind: "logFull", scl: lsn(1500n), nowMs: 30 })).toEqual([]);
    expect(step({ kind: "tick", nowMs: 130 })).toEqual([]);
    expect(step({ kind: "tick", nowMs: 630 })).toEqual(["pull"]);
  });

  it("refuses an Elect that its state has no room for, and stays what it was", () => {
    const { acceptor, state, receive } = aNode();
    const path = Array.from({ length: 100 }, (_, index) => ({
      epoch: epoch(4 + index),
      timeline: timeline(1),
      start: lsn(1010n + BigInt(index)),
      kind: "branch" as const,
    }));
    const long = anElect(200, 1200n, [...state.history, ...path]);
    expect(receive(long)).toEqual(["refuse outgrown"]);
    expect(receive({ kind: "relayElect", electRecord: long })).toEqual(["refuse outgrown"]);
    expect(acceptor.state).toBe(state);
    expect(receive(anElect(200, 1500n, state.history))).toEqual(["historyChanged", "persist"]);
  });
});

describe("a damaged node", () => {
  it("follows the path that peers relay, so that it can fill itself, and tells nobody", () => {
    const { acceptor, state, step, receive } = aNode({ health: "damaged" });
    // Its peers have cut what epoch 3 wrote beyond 1400, and epoch 4 went on there.
    const electRecord = anElect(4, 1400n, state.history);
    expect(receive(electRecord)).toEqual(["refuse damaged"]);
    expect(receive({ kind: "relayElect", electRecord })).toEqual(["historyChanged", "persist"]);
    expect(step({ kind: "persisted", nowMs: 2 })).toEqual(["cutLog"]);
    step({ kind: "logCut", scl: lsn(1400n), nowMs: 3 });
    expect(step({ kind: "persisted", nowMs: 4 })).toEqual([]);
    expect(acceptor.state.accepted).toBe(4);
    expect(receive(claim(5))).toEqual(["refuse damaged"]);
  });
});
