import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { epoch, nodeId, timeline, volumeId } from "../base/ids.ts";
import { lsn, parseLsn } from "../base/lsn.ts";
import type { ClusterState } from "../cluster/index.ts";
import { parsePath } from "../instance/index.ts";
import {
  type CloneSource,
  encodeFileHeader,
  FrameBatch,
  plainSealer,
} from "../storage-node/index.ts";
import { keepFutures, lostFutures } from "./salvage-futures.ts";

const volume = volumeId("11111111-2222-4333-8444-555555555555");
const nowMs = 1_767_000_000_000;
const entry = (number: number, start: string, kind: "branch" | "backtrack" = "branch") => ({
  epoch: number,
  timeline: number,
  start,
  kind,
});
/** Where both futures part, and how far the present one goes, which a return to the other is about to leave. */
const [fork, end] = ["0/1000100", "0/1000200"];
const returnedTo = [entry(1, "0/1000000")];
const left = [...returnedTo, entry(2, fork, "backtrack")];
const before: ClusterState["expired"] = [{ fork, end: "0/1000110", leftAtMs: 5, untilMs: 9 }];

let folder = "";
let node: CloneSource;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "borealis-futures-"));
  const at = { from: parseLsn("0/1000000"), to: parseLsn(end) };
  const own = { volumeId: volume, nodeId: nodeId("22222222-2222-4333-8444-555555555555") };
  const batch = new FrameBatch(Buffer.alloc(4096), at.from, plainSealer);
  batch.begin(at.from);
  for (const number of [1, 2])
    batch.add({
      epoch: epoch(number),
      timeline: timeline(number),
      payload: Buffer.alloc(0x100, "log"),
    });
  const path = join(folder, "0000000001.log");
  const head = encodeFileHeader({ ...own, sequence: 1, firstLsn: at.from });
  writeFileSync(path, Buffer.concat([head, batch.bytes]));
  const tails = [{ name: "3-of-it", ...at, files: [{ sequence: 1, path }] }];
  node = { kind: "files", files: [], tails, ...own, ancestors: [] };
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

/** Of a salvage in the middle of a backtrack that returns to a future of which no node has the log. */
async function kept(
  path: readonly ReturnType<typeof entry>[],
  sources: readonly CloneSource[],
): ReturnType<typeof keepFutures> {
  const state = {
    volumeId: volume,
    expired: before,
    backtrack: {
      order: { to: fork, refill: { path: returnedTo, to: "0/1000180" }, sinceEpoch: 2 },
      left,
      leftEnd: end,
      lastCommitUs: "1",
      askedAtMs: 1,
    },
  };
  const found = { path: parsePath([...path]), low: lsn(0x100_0000n) };
  return keepFutures(state, { sources, found, nowMs });
}

const cut = [...left, entry(3, fork, "backtrack")];
const future = { fork, end, leftAtMs: nowMs };

describe("of a return that cannot be carried on, the path that it was to leave", () => {
  it("can be returned to, if the volume has left it and a node has kept it", async () => {
    const futures = await kept(cut, [node]);
    const path = left.map((one) => ({ ...one, volumeId: volume }));
    expect(futures).toEqual({ abandoned: [{ ...future, path }], expired: before });
    expect(lostFutures({ expired: before }, futures)).toEqual([]);
  });

  it("is over, and told as lost, if no node has kept it", async () => {
    const futures = await kept(cut, [{ ...node, tails: [] } as CloneSource]);
    expect(futures).toEqual({ expired: [...(before ?? []), { ...future, untilMs: nowMs }] });
    const leftAt = new Date(nowMs).toISOString();
    expect(lostFutures({ expired: before }, futures)).toEqual([{ fork, end, leftAt }]);
  });

  it("is the volume's own as before, if that has not left it", async () => {
    expect(await kept(left, [node])).toEqual({ expired: before });
  });
});
