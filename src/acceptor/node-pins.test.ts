/** Log that may not go: pinned for a clone, or kept aside by a backtrack; and who is served from it. */
import { describe, expect, it } from "vitest";
import { epoch, nodeId, timeline, volumeId } from "../base/ids.ts";
import { type Lsn, lsn } from "../base/lsn.ts";
import {
  Acceptor,
  type AcceptorAction,
  type AcceptorEvent,
  type AcceptorState,
  formattedState,
} from "./index.ts";
import {
  type Elect,
  type History,
  memberSet,
  type Pin,
  type QuorumMessage,
  type Rules,
  trueRules,
} from "../quorum/index.ts";

const volume = volumeId("11111111-2222-4333-8444-555555555555");
const self = nodeId("00000000-0000-4000-8000-000000000001");
const peer = nodeId("00000000-0000-4000-8000-000000000002");
const claimId = "99999999-0000-4000-8000-000000000001";
const pinId = "aaaaaaaa-0000-4000-8000-000000000001";
const members = [self, peer].map((one) => ({ nodeId: one, az: "a", kind: "full" as const }));

function entry(of: number, start: bigint, kind: "branch" | "backtrack" = "branch") {
  return { epoch: epoch(of), timeline: timeline(1), start: lsn(start), kind };
}
const path: History = [entry(3, 1000n)];

function anElect(history: History, low = 1000n): Elect {
  const last = history.at(-1) ?? entry(0, 0n);
  return {
    kind: "elect",
    epoch: last.epoch,
    claimId,
    history,
    start: last.start,
    configuration: { id: { epoch: last.epoch, version: 1 }, sets: [memberSet(members)] },
    low: lsn(low),
    floor: lsn(1000n),
  };
}

function aNode(
  options: {
    state?: Partial<AcceptorState>;
    scl?: bigint;
    kept?: Map<string, Lsn>;
    rules?: Rules;
  } = {},
) {
  const electRecord = anElect(path);
  const acceptor = new Acceptor({
    state: {
      ...formattedState({ volumeId: volume, nodeId: self, base: lsn(1000n) }),
      promised: epoch(3),
      promisedTo: claimId,
      accepted: epoch(3),
      history: path,
      configuration: electRecord.configuration,
      electRecord,
      ...options.state,
    },
    scl: lsn(options.scl ?? 1500n),
    nowMs: 0,
    lendsAppends: false,
    keepsRetired: true,
    ...(options.kept ? { pinsKept: options.kept } : {}),
    ...(options.rules ? { rules: options.rules } : {}),
  });
  let nowMs = 0;
  const step = (event: AcceptorEvent): string[] => {
    const said = acceptor.step(event).map(describeAction);
    acceptor.checkInvariants();
    return said;
  };
  const receive = (message: QuorumMessage, from = self): string[] => {
    const envelope = { volumeId: volume, sender: "test", target: from, requestId: 7n };
    return step({ kind: "received", link: 1, envelope, message, nowMs: (nowMs += 10) });
  };
  const pass = (ms: number): string[] => step({ kind: "tick", nowMs: (nowMs += ms) });
  const persisted = (): string[] => step({ kind: "persisted", nowMs });
  const kept = (to: bigint): string[] => step({ kind: "pinKept", pinId, to: lsn(to), nowMs });
  return { acceptor, step, receive, pass, persisted, kept };
}

function describeAction(action: AcceptorAction): string {
  switch (action.kind) {
    case "send":
      return `send ${action.message.kind}`;
    case "linkPin":
      return `linkPin ${action.from}-${action.logTo}`;
    case "writePin":
      return `writePin ${action.lsn} ${action.runs.map((run) => `${run.epoch}x${run.bytes.length}`).join(" ")}`;
    case "pullPin":
      return `pullPin ${action.from}`;
    case "readLog":
      return `readLog ${action.as} ${action.from}-${action.to}`;
    case "readKept":
      return `readKept ${action.as.kind} ${action.from}-${action.to}${action.onlyPins ? " pins" : ""}`;
    case "cutLog":
      return `cutLog ${action.cut.to} back to ${action.cut.takeBackTo}`;
    default:
      return action.kind;
  }
}

const aPin: Pin = { pinId, path, from: lsn(1000n), to: lsn(1400n) };
const pin = (facts: Partial<Pin> = {}): QuorumMessage => ({
  kind: "pin",
  epoch: epoch(3),
  ...aPin,
  ...facts,
});

describe("a pin", () => {
  it("is on disk first, then linked, then acknowledged; and again when it is asked again", () => {
    const { acceptor, step, receive, persisted, kept } = aNode();
    step({ kind: "started", nowMs: 0 });
    expect(receive(pin())).toEqual(["persist"]);
    expect(persisted()).toEqual(["linkPin 1000-1400"]);
    expect(kept(1400n)).toEqual(["send pinAck"]);
    expect(receive(pin())).toEqual(["send pinAck"]);
    expect(acceptor.state.pins).toEqual([aPin]);
  });

  it("beyond the log waits until the log is there and synced", () => {
    const { step, receive, persisted, kept, pass } = aNode({ scl: 1300n });
    step({ kind: "started", nowMs: 0 });
    receive(pin());
    expect(persisted()).toEqual([]);
    const append = {
      kind: "append",
      epoch: epoch(3),
      timeline: timeline(1),
      vdl: lsn(0n),
    } as const;
    receive({ ...append, lsn: lsn(1300n), payload: Buffer.alloc(200) });
    expect(pass(10)).toEqual([]);
    step({ kind: "synced", scl: lsn(1500n), nowMs: 30 });
    expect(pass(10)).toEqual(["linkPin 1000-1400"]);
    expect(kept(1400n)).toEqual(["send pinAck"]);
  });

  it("of which a node lacks the beginning is completed by a peer, then from its own log", () => {
    const { step, receive, persisted, kept } = aNode({ state: { base: lsn(1200n) } });
    step({ kind: "started", nowMs: 0 });
    receive(pin());
    // What it may have kept aside comes first.
    expect(persisted()).toEqual(["linkPin 1000-1000"]);
    expect(kept(1000n)).toEqual(["pullPin 1000"]);
    const run = (of: number, length: number) => ({
      epoch: epoch(of),
      timeline: timeline(1),
      bytes: Buffer.alloc(length),
    });
    const data = { kind: "pinData", pinId, lsn: lsn(1000n) } as const;
    expect(receive({ ...data, runs: [run(3, 200), run(4, 100)] }, peer)).toEqual([
      "writePin 1000 3x200",
    ]);
    expect(kept(1200n)).toEqual(["linkPin 1200-1400"]);
    expect(kept(1400n)).toEqual(["send pinAck"]);
  });

  it("that nobody can help with is tried again, from the next peer, a little later", () => {
    const { step, receive, persisted, kept, pass } = aNode({ state: { base: lsn(1200n) } });
    step({ kind: "started", nowMs: 0 });
    receive(pin());
    persisted();
    kept(1000n);
    step({ kind: "pinPullFailed", pinId, nowMs: 10 });
    expect(pass(100)).toEqual([]);
    expect(pass(500)).toEqual(["pullPin 1000"]);
  });

  it("is taken up again by a node that restarts, and not acknowledged to an owner who asked before", () => {
    const { step, pass, kept } = aNode({
      state: { pins: [aPin] },
      kept: new Map([[pinId, lsn(1100n)]]),
    });
    expect(step({ kind: "started", nowMs: 0 })).toEqual(["linkPin 1100-1400"]);
    expect(pass(100)).toEqual([]);
    expect(kept(1400n)).toEqual([]);
  });

  it("is acknowledged in the epoch that asked, or not at all", () => {
    const { step, receive, persisted, kept } = aNode();
    step({ kind: "started", nowMs: 0 });
    receive(pin());
    persisted();
    receive({ kind: "claim", epoch: epoch(4), claimId, claimant: "i" });
    expect(kept(1400n)).toEqual([]);
    expect(persisted()).toEqual(["send promise"]);
    expect(receive(pin())).toEqual(["send refuse"]);
  });

  it("goes when its owner says so: first from the state, then its files", () => {
    const { acceptor, step, receive, persisted } = aNode({
      state: { pins: [aPin] },
      kept: new Map([[pinId, lsn(1400n)]]),
    });
    step({ kind: "started", nowMs: 0 });
    const unpin: QuorumMessage = { kind: "unpin", epoch: epoch(3), pinId };
    expect(receive(unpin)).toEqual(["persist"]);
    expect(persisted()).toEqual(["dropPin", "send pinAck"]);
    expect(receive(unpin)).toEqual(["send pinAck"]);
    expect(acceptor.state.pins).toEqual([]);
  });

  it("outlives the low-water and a backtrack; the mutants of M29 and M30 do not let it", () => {
    const state = { pins: [aPin], floor: lsn(1300n) };
    const whole = new Map([[pinId, lsn(1400n)]]);
    const trim: QuorumMessage = { kind: "advanceLow", epoch: epoch(3), lsn: lsn(1300n) };
    const back = anElect([entry(3, 1000n), entry(4, 1350n, "backtrack")], 1300n);
    const told = (rules: Rules): string[] => {
      const { step, receive, persisted } = aNode({ state, kept: whole, rules });
      step({ kind: "started", nowMs: 0 });
      receive(trim);
      const trimmed = persisted();
      receive(back);
      persisted();
      return [...trimmed, ...step({ kind: "logCut", scl: lsn(1350n), nowMs: 90 })];
    };
    expect(told(trueRules)).toEqual(["dropLogBelow", "persist"]);
    expect(told({ ...trueRules, pinsTrimmed: (pins) => pins })).toContain("dropPin");
    expect(told({ ...trueRules, pinsCut: (pins) => pins })).toContain("dropPin");
  });
});

describe("log beside the current one", () => {
  // Epoch 4 went back to 1200: epoch 3's [1200, 1500) is kept aside.
  const back: History = [entry(3, 1000n), entry(4, 1200n, "backtrack")];
  const get = (facts: object): QuorumMessage =>
    ({
      kind: "getLog",
      path,
      from: lsn(1100n),
      to: lsn(1500n),
      maxVdl: false,
      ...facts,
    }) as QuorumMessage;

  function backtracked(scl: bigint) {
    const electRecord = anElect(back);
    const state = { promised: epoch(4), accepted: epoch(4), history: back, electRecord };
    const node = aNode({ state, scl });
    node.step({ kind: "started", nowMs: 0 });
    return node;
  }

  it("is served to who names its path, from where the paths part", () => {
    const { receive } = backtracked(1300n);
    expect(receive(get({}))).toEqual(["readLog logData 1100-1200"]);
    expect(receive(get({ from: lsn(1200n) }))).toEqual(["readKept logData 1200-1500"]);
    expect(receive(get({ from: lsn(900n) }))).toEqual(["readKept logData 900-1500"]);
    expect(receive(get({ from: lsn(1200n), maxVdl: true }))).toEqual([
      "readKept logData 1200-1500 pins",
    ]);
  });

  it("is not what comes next on the current path", () => {
    const { receive } = backtracked(1200n);
    // Nothing was written since: the old path goes on in what is kept aside, the new one not yet.
    expect(receive(get({ from: lsn(1200n) }))).toEqual(["readKept logData 1200-1500"]);
    expect(receive(get({ path: back, from: lsn(1200n) }))).toEqual(["readLog logData 1200-1200"]);
    expect(receive(get({ path: "current", from: lsn(1300n) }))).toEqual(["send notHere"]);
  });

  it("comes back when a newer history contains it", () => {
    const { receive, persisted } = backtracked(1200n);
    // Epoch 5 knows nothing of epoch 4.
    receive(anElect([entry(3, 1000n), entry(5, 1480n)]));
    expect(persisted()).toEqual(["cutLog 1200 back to 1480"]);
  });

  it("of a pin is served to peers that lack it", () => {
    const electRecord = anElect(back);
    const state = { promised: epoch(4), accepted: epoch(4), history: back, electRecord };
    const { step, receive } = aNode({
      state: { ...state, pins: [{ ...aPin, to: lsn(1500n) }] },
      scl: 1300n,
      kept: new Map([[pinId, lsn(1500n)]]),
    });
    step({ kind: "started", nowMs: 0 });
    const pull = (from: bigint, of = pinId): QuorumMessage => ({
      kind: "pinPull",
      pinId: of,
      from: lsn(from),
    });
    expect(receive(pull(1000n))).toEqual(["readLog pinData 1000-1200"]);
    expect(receive(pull(1200n))).toEqual(["readKept pinData 1200-1500"]);
    expect(receive(pull(1000n, claimId))).toEqual(["send notHere"]);
  });
});
