import { expect, it } from "vitest";
import { epoch, timeline } from "../base/ids.ts";
import { lsn, type Lsn } from "../base/lsn.ts";
import { openLogger } from "../io/index.ts";
import type { QuorumMessage } from "../quorum/index.ts";
import { Feeds, type FeedStore } from "./feeds-shell.ts";
import { RecentLog } from "./recent-log.ts";
import { SharedLog } from "./shared-log.ts";

const at = (value: number): Lsn => lsn(BigInt(value));

function feedFrom(from: number) {
  const shared = new SharedLog();
  const recent = new RecentLog(shared);
  const reads: Lsn[] = [];
  const read: FeedStore["read"] = (range) => {
    reads.push(range.from);
    return new Promise(() => undefined);
  };
  const said: string[] = [];
  const feeds = new Feeds({
    store: { recent, read },
    view: () => ({ limit: shared.scl, vdl: shared.scl, vdlEpoch: epoch(1), history: [] }),
    logger: openLogger({ file: undefined, process: "test" }),
    nowMs: () => 0,
    onReadFailed: () => undefined,
  });
  const send = (_id: bigint, message: QuorumMessage): void => {
    if (message.kind !== "feedData") return;
    said.push(message.runs.map(({ bytes }) => bytes.toString()).join());
  };
  const link = { send, unsentBytes: 0 };
  shared.scl = at(from);
  feeds.start(link, { reply: { link: 1, requestId: 1n }, from: at(from), history: [] });
  return { shared, recent, reads, said, feeds };
}

it("a feed waits for what a worker has written and not yet told of, and reads no file for it", () => {
  const { shared, recent, reads, said, feeds } = feedFrom(100);
  const write = (from: number, text: string) => {
    shared.addRecent(text.length);
    shared.scl = at(from + text.length);
    const piece = {
      lsn: at(from),
      epoch: epoch(1),
      timeline: timeline(1),
      bytes: Buffer.from(text),
    };
    return () => recent.add([piece], 0);
  };
  const first = write(100, "abc");
  first();
  const second = write(103, "def");
  feeds.pumpAll();
  expect([said, reads]).toEqual([["", "abc"], []]);
  second();
  feeds.pumpAll();
  expect([said, reads]).toEqual([["", "abc", "def"], []]);
  // Nothing is under way: it was not told of.
  shared.scl = at(109);
  feeds.pumpAll();
  expect(reads).toEqual([at(106)]);
});
