import { describe, expect, it } from "vitest";
import { epoch, timeline } from "../base/ids.ts";
import { lsn, type Lsn } from "../base/lsn.ts";
import { bytesOf, RecentLog, type RecentPiece, recentBytesMax } from "./recent-log.ts";
import { SharedLog } from "./shared-log.ts";

const at = (value: number): Lsn => lsn(BigInt(value));

function piece(from: number, text: string, of = 5): RecentPiece {
  return { lsn: at(from), epoch: epoch(of), timeline: timeline(of), bytes: Buffer.from(text) };
}

/** Of a log that ends far behind all that is told. */
function sharedLog(): SharedLog {
  const shared = new SharedLog();
  shared.scl = at(100_000_000);
  return shared;
}

/** As a worker does it: counted, then told. */
function told(...pieces: RecentPiece[]): { log: RecentLog; shared: SharedLog } {
  const shared = sharedLog();
  const log = new RecentLog(shared);
  tell(log, shared, pieces);
  return { log, shared };
}

function tell(log: RecentLog, shared: SharedLog, pieces: RecentPiece[], cuts = shared.cuts): void {
  shared.addRecent(bytesOf(pieces));
  log.add(pieces, cuts);
}

function shown(log: RecentLog, from: number, to: number, limitBytes = 100): string[] {
  const runs = log.read({ from: at(from), to: at(to), limitBytes });
  return runs.map((run) => `${run.epoch} ${run.bytes.toString()}`);
}

describe("the log's end in memory", () => {
  it("is read from any byte, over pieces, as runs of one epoch each", () => {
    const { log } = told(piece(100, "abc"), piece(103, "def"), piece(106, "ghi", 6));
    expect(shown(log, 100, 109)).toEqual(["5 abcdef", "6 ghi"]);
    expect(shown(log, 101, 104)).toEqual(["5 bcd"]);
    expect(shown(log, 104, 109, 3)).toEqual(["5 ef", "6 g"]);
    expect(shown(log, 107, 1000)).toEqual(["6 hi"]);
  });

  it("has nothing of what begins before it, or behind it", () => {
    const { log } = told(piece(100, "abc"));
    expect(shown(log, 99, 103)).toEqual([]);
    expect(shown(log, 103, 110)).toEqual([]);
    expect(shown(log, 101, 101)).toEqual([]);
    expect(shown(log, 102, 100)).toEqual([]);
  });

  it("begins anew where something is missing, or comes twice", () => {
    const { log, shared } = told(piece(100, "abc"));
    tell(log, shared, [piece(104, "ef")]);
    expect([shown(log, 100, 110), shown(log, 104, 110)]).toEqual([[], ["5 ef"]]);
    tell(log, shared, [piece(102, "CD")]);
    expect([shown(log, 104, 110), shown(log, 102, 110)]).toEqual([[], ["5 CD"]]);
  });

  it("is forgotten when the log is cut, and what a worker wrote before the cut is not believed afterwards", () => {
    const { log, shared } = told(piece(100, "abc"));
    const before = shared.cuts;
    log.cut();
    expect(shown(log, 100, 103)).toEqual([]);
    tell(log, shared, [piece(103, "old")], before);
    expect(shown(log, 103, 106)).toEqual([]);
    tell(log, shared, [piece(103, "new", 6)]);
    expect(shown(log, 103, 106)).toEqual(["6 new"]);
  });

  it("takes nothing that lies behind the log's end", () => {
    const { log, shared } = told(piece(100, "abc"));
    shared.scl = at(105);
    tell(log, shared, [piece(103, "def")]);
    expect([shown(log, 100, 106), shown(log, 103, 106)]).toEqual([[], []]);
  });

  it("awaits what is on its way to where it ends, and nothing else", () => {
    const { log, shared } = told(piece(100, "abc"));
    expect(log.awaits(at(103))).toBe(false);
    shared.addRecent(4);
    expect([102, 103, 105].map((from) => log.awaits(at(from)))).toEqual([false, true, true]);
    log.cut();
    expect(log.awaits(at(103))).toBe(false);
    // Dropped, since it was cut: it is waited for no more.
    log.add([piece(103, "defg")], shared.cuts - 1);
    tell(log, shared, [piece(200, "x")]);
    expect(log.awaits(at(201))).toBe(false);
  });

  it("keeps so much, and counts what is on its way", () => {
    const shared = sharedLog();
    const log = new RecentLog(shared);
    const text = "x".repeat(recentBytesMax / 4);
    for (let i = 0; i < 6; i++) tell(log, shared, [piece(1 + i * text.length, text)]);
    const end = 1 + 6 * text.length;
    expect(shown(log, 1, end)).toEqual([]);
    const kept = log.read({ from: at(1 + 2 * text.length), to: at(end), limitBytes: 1e9 });
    expect(kept.map((run) => run.bytes.length)).toEqual([recentBytesMax]);
    expect(shared.recentBytes).toBe(0);
  });
});
