import { describe, expect, it } from "vitest";
import { epoch, nodeId, volumeId } from "../base/ids.ts";
import { lsn } from "../base/lsn.ts";
import { seededRng } from "../base/rng.ts";
import { type Clock, openLogger, realEntropy, type Timer } from "../io/index.ts";
import type { Append, QuorumMessage, ReceivedMessage } from "../quorum/index.ts";
import { Faults } from "./faults-shell.ts";
import { FaultBook, type FaultOrder, parseFaultOrder } from "./faults.ts";
import { noFaults, SharedFaults } from "./shared-faults.ts";

const failure: FaultOrder = {
  kind: "failure",
  percent: 100,
  durationMs: 5_000,
  delayMinMs: 0,
  delayMaxMs: 0,
};
const congestion: FaultOrder = {
  ...failure,
  kind: "congestion",
  durationMs: 9_000,
  delayMinMs: 10,
  delayMaxMs: 20,
};

describe("the fate of requests", () => {
  it("is to be served, and nothing random is asked, where there are no faults", () => {
    const faults = new SharedFaults();
    const never = (): number => {
      throw new Error("asked");
    };
    expect(faults.judge(never)).toEqual({ kind: "served" });
  });

  it.each([
    [0, 0],
    [25, 250],
    [100, 1000],
  ])("is a refusal for %d in a hundred", (refusedPercent, about) => {
    const faults = new SharedFaults();
    faults.set({ ...noFaults, refusedPercent });
    const { next } = seededRng(7);
    for (let i = 0; i < 1000; i++) faults.judge(next);
    expect(Math.abs(faults.counts.refused - about)).toBeLessThan(about === 250 ? 50 : 1);
    expect(faults.counts.delayed).toBe(0);
  });

  it("is a delay between the bounds, and refusals come first", () => {
    const faults = new SharedFaults();
    const delays = { delayedPercent: 100, delayMinMs: 0.5, delayMaxMs: 100 };
    faults.set({ ...noFaults, ...delays });
    const { next } = seededRng(3);
    const waits = Array.from({ length: 500 }, () => faults.judge(next)).map((fate) =>
      fate.kind === "delayed" ? fate.ms : Number.NaN,
    );
    expect(Math.min(...waits)).toBeGreaterThanOrEqual(0.5);
    expect(Math.max(...waits)).toBeLessThanOrEqual(100);
    expect(Math.max(...waits) - Math.min(...waits)).toBeGreaterThan(80);
    faults.set({ ...delays, refusedPercent: 100 });
    expect(faults.judge(next)).toEqual({ kind: "refused" });
  });

  it("is seen by who shares the memory", () => {
    const faults = new SharedFaults();
    faults.set({ ...noFaults, refusedPercent: 100 });
    expect(new SharedFaults(faults.memory).judge(() => 0)).toEqual({ kind: "refused" });
    expect(faults.counts.refused).toBe(1);
  });
});

describe("the book of a node's faults", () => {
  it("has one of a kind, and each ends by itself", () => {
    const shared = new SharedFaults();
    const book = new FaultBook(shared);
    book.begin(failure, { nowMs: 0, wallMs: 1_000 });
    book.begin({ ...failure, percent: 50 }, { nowMs: 1_000, wallMs: 2_000 });
    book.begin(congestion, { nowMs: 1_000, wallMs: 2_000 });
    expect(
      book.report.active.map(({ kind, percent, untilMs }) => [kind, percent, untilMs]),
    ).toEqual([
      ["failure", 50, 7_000],
      ["congestion", 100, 11_000],
    ]);
    expect(book.takeEnded(5_999)).toEqual([]);
    expect(book.takeEnded(6_000).map(({ kind }) => kind)).toEqual(["failure"]);
    expect(shared.judge(() => 0)).toMatchObject({ kind: "delayed" });
    expect(book.takeEnded(99_000).map(({ kind }) => kind)).toEqual(["congestion"]);
    expect(shared.judge(() => 0)).toEqual({ kind: "served" });
    expect(book.report).toEqual({ active: [], refused: 0, delayed: 1 });
  });

  it("takes what is in range, and nothing else", () => {
    expect(parseFaultOrder({ ...failure, more: 1 })).toEqual(failure);
    expect(parseFaultOrder(congestion)).toEqual(congestion);
    for (const wrong of [
      null,
      "failure",
      {},
      { ...failure, kind: "crash" },
      { ...failure, percent: -1 },
      { ...failure, percent: 100.1 },
      { ...failure, percent: Number.NaN },
      { ...failure, percent: "5" },
      { ...failure, durationMs: 0 },
      { ...failure, durationMs: Number.POSITIVE_INFINITY },
      { ...congestion, delayMinMs: -1 },
      { ...congestion, delayMaxMs: 101 },
      { ...congestion, delayMinMs: 30 },
    ])
      expect(() => parseFaultOrder(wrong), JSON.stringify(wrong)).toThrow(/of a fault has to be/);
  });
});

describe("before a node", () => {
  const volume = volumeId("11111111-2222-3333-4444-555555555555");
  const node = nodeId("aaaaaaaa-bbbb-cccc-dddd-eeeeeeeeeeee");
  const other = nodeId("aaaaaaaa-bbbb-cccc-dddd-ffffffffffff");
  const append: Append = {
    kind: "append",
    epoch: epoch(4),
    timeline: 1 as Append["timeline"],
    lsn: lsn(100n),
    vdl: lsn(100n),
    payload: Buffer.from("abc"),
  };

  /** Faults on a clock that stands, what it was asked for, and what became of messages. */
  function aNode(order: FaultOrder) {
    let nowMs = 0;
    const later: { readonly atMs: number; readonly fn: () => void }[] = [];
    const clock: Clock = {
      nowMs: () => nowMs,
      awakeOrAsleepMs: () => nowMs,
      wallMs: () => nowMs,
      after(delayMs, fn): Timer {
        later.push({ atMs: nowMs + delayMs, fn });
        return { cancel: () => undefined };
      },
    };
    const logger = openLogger({ file: undefined, process: "test", level: "silent" });
    const faults = new Faults({
      nodeId: node,
      volumeId: volume,
      clock,
      entropy: realEntropy,
      logger,
    });
    faults.inject(order);
    const served: QuorumMessage[] = [];
    const answers: QuorumMessage[] = [];
    let isOpen = true;
    return {
      faults,
      served,
      answers,
      close: () => (isOpen = false),
      pass(ms: number) {
        nowMs += ms;
        for (const one of later.splice(0))
          if (one.atMs <= nowMs) one.fn();
          else later.push(one);
      },
      meet(message: QuorumMessage, target = node) {
        const envelope = { volumeId: volume, sender: "t", target, requestId: 9n };
        const received: ReceivedMessage = { envelope, message };
        faults.meet(received, {
          serve: (one) => void served.push(one.message),
          answer: (_requestId, one) => void answers.push(one),
          isOpen: () => isOpen,
          promised: () => epoch(6),
        });
      },
    };
  }

  it("what needs the disk is refused as by a full one, and what does not is served", () => {
    const { meet, served, answers } = aNode(failure);
    meet(append);
    meet({ kind: "scrub" });
    expect(answers).toEqual([
      { kind: "refuse", epoch: 4, promised: 6, reason: "full" },
      { kind: "refuse", epoch: 0, promised: 6, reason: "full" },
    ]);
    meet({ kind: "inspect" });
    meet({ kind: "heartbeat", epoch: epoch(4), round: 1, vdl: lsn(0n), leaseMs: 0 });
    meet(append, other);
    expect(served.map(({ kind }) => kind)).toEqual(["inspect", "heartbeat", "append"]);
  });

  it("what is delayed is served later as it was, unless its link is gone", () => {
    const bytes = Buffer.from("abc");
    const { meet, pass, served, answers } = aNode(congestion);
    meet({ ...append, payload: bytes });
    // The link's buffer has other bytes by then.
    bytes.fill(0);
    pass(9);
    expect([served, answers]).toEqual([[], []]);
    pass(11);
    expect(served).toEqual([append]);
    const gone = aNode(congestion);
    gone.meet(append);
    gone.close();
    gone.pass(20);
    expect(gone.served).toEqual([]);
  });

  it("is over when its time is, without anybody's word", async () => {
    const { faults, meet, pass, served } = aNode(failure);
    await expect(faults.meetObjects()).rejects.toMatchObject({ code: "58030" });
    expect(await faults.meetFill()).toBe(false);
    pass(4_999);
    faults.tick();
    meet(append);
    expect(served).toEqual([]);
    pass(1);
    faults.tick();
    meet(append);
    expect(served).toEqual([append]);
    await faults.meetObjects();
    expect(await faults.meetFill()).toBe(true);
    expect(faults.report).toEqual({ active: [], refused: 3, delayed: 0 });
  });
});
