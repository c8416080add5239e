import { expect, it } from "vitest";
import { epoch, nodeId, timeline, volumeId } from "../base/ids.ts";
import { advance, lsn } from "../base/lsn.ts";
import { FrameBatch } from "./frame-batch.ts";
import { plainSealer } from "./frame-cipher.ts";
import { fileHeaderBytes } from "./frame.ts";
import { type ReadableFiles, readLog } from "./log-reader-shell.ts";
import { SegmentTable } from "./segment-table.ts";

const id = "11111111-2222-3333-4444-555555555555";
const owner = { volumeId: volumeId(id), nodeId: nodeId(id) };

it("finds its way to log far behind the last known frame in few reads of the file", async () => {
  const payloadBytes = 100;
  const frames = 20_000;
  const file = Buffer.alloc(8 * 1024 * 1024);
  const begin = lsn(1_000n);
  const batch = new FrameBatch(file, begin, plainSealer);
  batch.begin(begin, fileHeaderBytes);
  for (let index = 0; index < frames; index++) {
    const payload = Buffer.alloc(payloadBytes, `${index} `);
    batch.add({ epoch: epoch(1), timeline: timeline(1), payload });
  }
  const table = new SegmentTable();
  table.push(1, begin);
  let reads = 0;
  const files: ReadableFiles = {
    read(_sequence, into, from) {
      reads++;
      return Promise.resolve(file.copy(into, 0, from));
    },
    cipher: { acceptsPlain: true, open: () => undefined },
    ownerOf: () => owner,
  };
  const end = advance(begin, frames * payloadBytes);
  const from = advance(end, -payloadBytes);
  const runs = await readLog(files, table, { from, to: end, limitBytes: 1_000_000 });
  expect(runs.map(({ bytes }) => Buffer.from(bytes).toString("latin1", 0, 6))).toEqual([
    `${frames - 1} `,
  ]);
  // 3.5 MB, in windows of 256 KiB.
  expect(reads).toBeLessThan(20);
});
