import { describe, expect, it } from "vitest";
import { epoch, nodeId, timeline, volumeId } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import {
  Acceptor,
  type AcceptorAction,
  type AcceptorEvent,
  type AcceptorState,
  decodeAcceptorState,
  encodeAcceptorState,
  formattedState,
  judgeAppend,
  overlapBytes,
} from "./index.ts";
import {
  type Elect,
  everyRound,
  memberSet,
  type QuorumMessage,
  trueRules,
} from "../quorum/index.ts";

const volume = volumeId("11111111-2222-4333-8444-555555555555");
const self = nodeId("00000000-0000-4000-8000-000000000001");
const other = nodeId("00000000-0000-4000-8000-000000000002");
const claimId = "99999999-0000-4000-8000-000000000001";
const members = [self, other].map((one) => ({ nodeId: one, az: "a", kind: "full" as const }));

function anElect(facts: Partial<Elect> & { readonly epoch: Elect["epoch"] }): Elect {
  const start = facts.start ?? lsn(1000n);
  return {
    kind: "elect",
    claimId,
    history: [{ epoch: facts.epoch, timeline: timeline(1), start, kind: "branch" }],
    start,
    configuration: { id: { epoch: facts.epoch, version: 1 }, sets: [memberSet(members)] },
    low: lsn(1000n),
    floor: lsn(1000n),
    ...facts,
  };
}

/** A node in epoch 3, which began at 1000 and whose log ends at `scl`. */
function aState(): AcceptorState {
  const electRecord = anElect({ epoch: epoch(3) });
  return {
    ...formattedState({ volumeId: volume, nodeId: self, base: lsn(1000n) }),
    promised: epoch(3),
    promisedTo: claimId,
    accepted: epoch(3),
    history: electRecord.history,
    configuration: electRecord.configuration,
    electRecord,
  };
}

/** An acceptor and what it did, one word an action, answers with their numbers. */
function aNode(options: { state?: AcceptorState; scl?: bigint; keepsRetired?: boolean } = {}) {
  const acceptor = new Acceptor({
    state: options.state ?? aState(),
    scl: lsn(options.scl ?? 1500n),
    nowMs: 0,
    lendsAppends: true,
    keepsRetired: options.keepsRetired ?? false,
  });
  let nowMs = 0;
  const step = (event: AcceptorEvent): string[] => {
    const said = acceptor.step(event).map(describeAction);
    acceptor.checkInvariants();
    return said;
  };
  const receive = (message: QuorumMessage, target = self): string[] => {
    const envelope = { volumeId: volume, sender: "test", target, requestId: 7n };
    return step({ kind: "received", link: 1, envelope, message, nowMs: nowMs++ });
  };
  return { acceptor, step, receive };
}

function describeAction(action: AcceptorAction): string {
  switch (action.kind) {
    case "send":
      return `send ${describeAnswer(action.message)}`;
    case "grant":
      return `grant ${action.epoch} ${action.start}-${action.end}`;
    case "cutLog":
      return `cutLog ${action.cut.isRebase ? "rebase " : ""}${action.cut.to}${action.cut.keepAside ? " aside" : ""}`;
    case "persist":
      return `persist ${action.state.promised}/${action.state.accepted}`;
    case "readLog":
      return `readLog ${action.as} ${action.from}-${action.to}`;
    case "pull":
      return `pull ${action.from}`;
    default:
      return action.kind;
  }
}

function describeAnswer(message: QuorumMessage): string {
  switch (message.kind) {
    case "promise":
      return `promise ${message.epoch} scl ${message.scl}`;
    case "refuse":
      return `refuse ${message.reason} ${message.promised}`;
    case "electAck":
    case "appendAck":
      return `${message.kind} ${message.epoch} scl ${message.scl}`;
    case "gap":
      return `gap ${message.end}`;
    default:
      return message.kind;
  }
}

const claim = (of: number): QuorumMessage => ({
  kind: "claim",
  epoch: epoch(of),
  claimId,
  claimant: "instance-2",
});

describe("an acceptor whose appends run in a worker", () => {
  it("stops the worker before it promises, and lends again only in the elected epoch", () => {
    const { step, receive } = aNode();
    expect(step({ kind: "started", nowMs: 0 })).toEqual(["grant 3 1000-1500"]);
    expect(receive(claim(4))).toEqual(["revokeGrant"]);
    expect(receive({ kind: "inspect" })).toEqual(["send state"]);
    expect(
      step({ kind: "grantRevoked", epoch: epoch(3), scl: lsn(1600n), vdl: lsn(1550n), nowMs: 1 }),
    ).toEqual(["vdlAdvanced", "persist 4/3"]);
    expect(step({ kind: "persisted", nowMs: 2 })).toEqual(["send promise 4 scl 1600"]);
    const own = {
      epoch: epoch(4),
      timeline: timeline(2),
      start: lsn(1580n),
      kind: "branch",
    } as const;
    const history = [...aState().history, own];
    expect(receive(anElect({ epoch: epoch(4), history, start: lsn(1580n) }))).toEqual([
      "historyChanged",
      "persist 4/4",
    ]);
    expect(step({ kind: "persisted", nowMs: 3 })).toEqual(["cutLog 1580"]);
    expect(step({ kind: "logCut", scl: lsn(1580n), nowMs: 4 })).toEqual(["persist 4/4"]);
    expect(step({ kind: "persisted", nowMs: 5 })).toEqual([
      "send electAck 4 scl 1580",
      "grant 4 1580-1580",
    ]);
  });

  it("takes no word of a worker whose grant is over", () => {
    const { acceptor, step, receive } = aNode();
    step({ kind: "started", nowMs: 0 });
    receive(claim(4));
    step({ kind: "grantRevoked", epoch: epoch(3), scl: lsn(1500n), vdl: lsn(0n), nowMs: 1 });
    step({ kind: "progress", epoch: epoch(3), scl: lsn(1700n), vdl: lsn(1700n), nowMs: 2 });
    expect([acceptor.scl, acceptor.vdl]).toEqual([1500n, 0n]);
  });

  it("handles what came while it was busy afterwards, in order", () => {
    const { step, receive } = aNode();
    step({ kind: "started", nowMs: 0 });
    receive(claim(4));
    expect(receive(claim(5))).toEqual([]);
    const heartbeat = { kind: "heartbeat", epoch: epoch(3), round: 1, vdl: lsn(0n), leaseMs: 0 };
    // A literal kind, which the checker widens in a variable.
    expect(receive(heartbeat as QuorumMessage)).toEqual([]);
    step({ kind: "grantRevoked", epoch: epoch(3), scl: lsn(1500n), vdl: lsn(0n), nowMs: 1 });
    expect(step({ kind: "persisted", nowMs: 2 })).toEqual([
      "send promise 4 scl 1500",
      "persist 5/3",
    ]);
    expect(step({ kind: "persisted", nowMs: 3 })).toEqual([
      "send promise 5 scl 1500",
      "send refuse stale 5",
    ]);
  });

  it("cuts again at its start what its state says was to be cut", () => {
    const cut = { to: lsn(1200n), isRebase: false, keepAside: false, takeBackTo: lsn(1200n) };
    const { step } = aNode({ state: { ...aState(), pendingCut: cut } });
    expect(step({ kind: "started", nowMs: 0 })).toEqual(["cutLog 1200"]);
    expect(step({ kind: "logCut", scl: lsn(1200n), nowMs: 1 })).toEqual(["persist 3/3"]);
    expect(step({ kind: "persisted", nowMs: 2 })).toEqual(["grant 3 1000-1200"]);
  });

  it("rebases when its log ends below the low-water, and keeps nothing", () => {
    const { acceptor, step, receive } = aNode();
    step({ kind: "started", nowMs: 0 });
    receive(anElect({ epoch: epoch(4), start: lsn(3000n), low: lsn(2000n) }));
    step({ kind: "grantRevoked", epoch: epoch(3), scl: lsn(1500n), vdl: lsn(0n), nowMs: 1 });
    expect(step({ kind: "persisted", nowMs: 2 })).toEqual(["cutLog rebase 2000"]);
    step({ kind: "logCut", scl: lsn(2000n), nowMs: 3 });
    expect(step({ kind: "persisted", nowMs: 4 })).toEqual([
      "send electAck 4 scl 2000",
      "grant 4 3000-2000",
      "pull 2000",
    ]);
    expect([acceptor.state.base, acceptor.scl]).toEqual([2000n, 2000n]);
  });

  it("goes over to messages for the epoch when appends come as messages", () => {
    const { step, receive } = aNode();
    step({ kind: "started", nowMs: 0 });
    const append = (at: bigint): QuorumMessage => ({
      kind: "append",
      epoch: epoch(3),
      timeline: timeline(1),
      lsn: lsn(at),
      vdl: lsn(1400n),
      payload: Buffer.alloc(100),
    });
    expect(receive(append(1500n))).toEqual(["revokeGrant"]);
    expect(
      step({ kind: "grantRevoked", epoch: epoch(3), scl: lsn(1500n), vdl: lsn(0n), nowMs: 1 }),
    ).toEqual(["vdlAdvanced", "writeLog"]);
    expect(receive(append(1700n))).toEqual(["send gap 1600"]);
    expect(receive(append(1550n))).toEqual(["writeLog"]);
    expect(step({ kind: "synced", scl: lsn(1600n), nowMs: 2 })).toEqual([
      "send appendAck 3 scl 1600",
    ]);
    expect(step({ kind: "synced", scl: lsn(1650n), nowMs: 3 })).toEqual([
      "send appendAck 3 scl 1650",
    ]);
  });
});

describe("what a node refuses", () => {
  it.each<[string, QuorumMessage, string]>([
    [
      "a claim of its own epoch by another",
      { ...claim(3), claimId: self } as QuorumMessage,
      "send refuse stale 3",
    ],
    ["an old elect", anElect({ epoch: epoch(2) }), "send refuse stale 3"],
    ["a backtrack without a retired store", aBacktrack(), "send refuse notSupported 3"],
    ["a pin without a path", aPinWithoutPath(), "send refuse notSupported 3"],
    [
      "an unpin of an older epoch",
      { kind: "unpin", epoch: epoch(2), pinId: claimId },
      "send refuse stale 3",
    ],
    [
      "a floor of an older epoch",
      { kind: "floor", epoch: epoch(2), lsn: lsn(1100n) },
      "send refuse stale 3",
    ],
    [
      "a floor of an epoch it has not met",
      { kind: "floor", epoch: epoch(9), lsn: lsn(1100n) },
      "send refuse notAccepted 3",
    ],
  ])("%s", (_, message, answer) => {
    const { step, receive } = aNode();
    step({ kind: "started", nowMs: 0 });
    expect(receive(message)).toEqual([answer]);
  });

  it("everything, when it is meant for another node", () => {
    const { step, receive } = aNode();
    step({ kind: "started", nowMs: 0 });
    expect(receive(claim(4), other)).toEqual(["send refuse wrongTarget 3"]);
  });

  it("everything, once it is sealed; and it stays sealed", () => {
    const { acceptor, step, receive } = aNode();
    step({ kind: "started", nowMs: 0 });
    receive({ kind: "seal", epoch: epoch(3), successor: volume });
    step({ kind: "grantRevoked", epoch: epoch(3), scl: lsn(1500n), vdl: lsn(0n), nowMs: 1 });
    expect(step({ kind: "persisted", nowMs: 2 })).toEqual(["send sealAck"]);
    expect(receive(claim(9))).toEqual(["send refuse sealed 3"]);
    expect(decodeAcceptorState(encodeAcceptorState(acceptor.state))).toEqual(acceptor.state);
  });

  it("claims, elects and appends, while it is damaged", () => {
    const { step, receive } = aNode();
    step({ kind: "started", nowMs: 0 });
    step({ kind: "healthChanged", health: "damaged", suspectTail: false });
    expect(receive(claim(4))).toEqual(["send refuse damaged 3", "pull 1500"]);
  });
});

function aPinWithoutPath(): QuorumMessage {
  const range = { from: lsn(1000n), to: lsn(1100n) };
  return { kind: "pin", epoch: epoch(3), pinId: claimId, path: [], ...range };
}

function aBacktrack(): Elect {
  const own = {
    epoch: epoch(4),
    timeline: timeline(2),
    start: lsn(1100n),
    kind: "backtrack",
  } as const;
  const history = [...aState().history, own];
  return anElect({ epoch: epoch(4), history, start: lsn(1100n) });
}

describe("retention and readers", () => {
  it("a backtrack's cut tail is kept aside", () => {
    const { step, receive } = aNode({ keepsRetired: true });
    step({ kind: "started", nowMs: 0 });
    receive(aBacktrack());
    step({ kind: "grantRevoked", epoch: epoch(3), scl: lsn(1500n), vdl: lsn(0n), nowMs: 1 });
    expect(step({ kind: "persisted", nowMs: 2 })).toEqual(["cutLog 1100 aside"]);
  });

  it("a tail cut for a backtrack that a later epoch inherited is kept aside too", () => {
    const { step, receive } = aNode({ keepsRetired: true });
    step({ kind: "started", nowMs: 0 });
    const inherited = aBacktrack().history;
    const own = {
      epoch: epoch(5),
      timeline: timeline(3),
      start: lsn(1100n),
      kind: "branch",
    } as const;
    receive(anElect({ epoch: epoch(5), history: [...inherited, own], start: lsn(1100n) }));
    step({ kind: "grantRevoked", epoch: epoch(3), scl: lsn(1500n), vdl: lsn(0n), nowMs: 1 });
    expect(step({ kind: "persisted", nowMs: 2 })).toEqual(["cutLog 1100 aside"]);
  });

  it("the low-water never passes the floor that was recorded first", () => {
    const { acceptor, step, receive } = aNode();
    step({ kind: "started", nowMs: 0 });
    receive({ kind: "floor", epoch: epoch(3), lsn: lsn(1200n) });
    expect(step({ kind: "persisted", nowMs: 1 })).toEqual(["send floorAck"]);
    receive({ kind: "advanceLow", epoch: epoch(3), lsn: lsn(1400n) });
    expect(step({ kind: "persisted", nowMs: 2 })).toEqual(["dropLogBelow"]);
    expect(acceptor.state.base).toBe(1200n);
  });

  it("serves readers to its VDL, drivers to its SCL, and nobody on another path", () => {
    const { step, receive } = aNode();
    step({ kind: "started", nowMs: 0 });
    receive({ kind: "heartbeat", epoch: epoch(3), round: 1, vdl: lsn(1300n), leaseMs: 0 });
    const get = (facts: object): QuorumMessage =>
      ({
        kind: "getLog",
        path: "current",
        from: lsn(1100n),
        to: lsn(9000n),
        maxVdl: true,
        ...facts,
      }) as QuorumMessage;
    expect(receive(get({}))).toEqual(["readLog logData 1100-1300"]);
    expect(receive(get({ maxVdl: false }))).toEqual(["readLog logData 1100-1500"]);
    expect(receive(get({ from: lsn(900n) }))).toEqual(["send notHere"]);
    const path = [{ epoch: epoch(2), timeline: timeline(1), start: lsn(1000n), kind: "branch" }];
    expect(receive(get({ path }))).toEqual(["readKept"]);
    const subscribe = (history: unknown): QuorumMessage =>
      ({ kind: "subscribe", path: history, from: lsn(1100n) }) as QuorumMessage;
    expect(receive(subscribe(aState().history))).toEqual(["startFeed"]);
    expect(receive(subscribe(path))).toEqual(["send pathChanged"]);
    expect(receive(subscribe(aBacktrack().history))).toEqual(
      ["send refuse notAccepted"].map((one) => `${one} 3`),
    );
  });

  it("a feed that begins beside a backtrack's Elect is of the path that its reader was found on", () => {
    const { acceptor, step, receive } = aNode();
    step({ kind: "started", nowMs: 0 });
    receive({ kind: "heartbeat", epoch: epoch(3), round: 1, vdl: lsn(1300n), leaseMs: 2000 });
    // Both wait for the write of the lease, and are answered in one step.
    const { history } = aState();
    receive({ kind: "subscribe", path: history, from: lsn(1100n) } as QuorumMessage);
    receive(aBacktrack());
    const actions = acceptor.step({ kind: "persisted", nowMs: 1 });
    const feed = actions.find((action) => action.kind === "startFeed");
    expect(feed).toMatchObject({ from: lsn(1100n), history });
  });

  it("answers no answer: a peer's refusal of what was relayed to it stays the last word", () => {
    const { step, receive } = aNode();
    step({ kind: "started", nowMs: 0 });
    const refusal = { kind: "refuse", reason: "stale", promised: epoch(5) } as QuorumMessage;
    expect(receive(refusal, other)).toEqual([]);
    expect(receive(refusal)).toEqual([]);
    expect(
      receive({ kind: "relayElect", electRecord: anElect({ epoch: epoch(2) }) }, other),
    ).toEqual(["send refuse stale 3"]);
  });

  it("Release of an older round leaves the lease of a newer one", () => {
    const { step, receive } = aNode();
    step({ kind: "started", nowMs: 0 });
    receive({ kind: "heartbeat", epoch: epoch(3), round: 5, vdl: lsn(0n), leaseMs: 2000 });
    expect(step({ kind: "persisted", nowMs: 1 })).toEqual(["send heartbeatAck"]);
    receive({ kind: "release", epoch: epoch(3), round: 4 });
    expect(receive(claim(4))).toEqual(["send wait"]);
    receive({ kind: "release", epoch: epoch(3), round: everyRound });
    step({ kind: "persisted", nowMs: 2 });
    expect(receive(claim(4))).toEqual(["revokeGrant"]);
  });
});

describe("the append rule", () => {
  const node = { promised: epoch(3), accepted: epoch(3), start: lsn(100n), end: lsn(150n) };
  it.each([
    [3, 150n, "take"],
    [3, 120n, "take"],
    [3, 151n, "gap"],
    [3, 99n, "gap"],
    [2, 150n, "refuse"],
    [4, 150n, "refuse"],
  ])("epoch %i at %i: %s", (of, at, verdict) => {
    expect(judgeAppend(node, { epoch: epoch(of), lsn: lsn(at) })).toBe(verdict);
  });

  it("skips what the log has", () => {
    expect(overlapBytes(lsn(150n), lsn(150n), 10)).toBe(0);
    expect(overlapBytes(lsn(150n), lsn(145n), 10)).toBe(5);
    expect(overlapBytes(lsn(150n), lsn(100n), 10)).toBe(10);
  });

  it("production runs by the true rules, which nothing can change", () => {
    expect(Object.isFrozen(trueRules)).toBe(true);
  });

  it("a VDL that a lagging node has heard of stays a record end when a newer epoch cuts", () => {
    const { acceptor, step, receive } = aNode();
    step({ kind: "started", nowMs: 0 });
    // The log ends inside a record, below what a write quorum of others has acknowledged.
    receive({ kind: "heartbeat", epoch: epoch(3), round: 1, vdl: lsn(1600n), leaseMs: 0 });
    const history = [
      ...aState().history,
      { epoch: epoch(4), timeline: timeline(2), start: lsn(1800n), kind: "branch" as const },
    ];
    receive(anElect({ epoch: epoch(4), start: lsn(1800n), history }));
    step({ kind: "grantRevoked", epoch: epoch(3), scl: lsn(1500n), vdl: lsn(0n), nowMs: 1 });
    // A claimant walks records from it: lowered to 1500, the walk began inside one.
    expect(acceptor.vdl).toBe(1600n);
  });
});
