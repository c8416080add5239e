import { expect, test } from "vitest";
import { packRanges, stretchesOf, unpackRanges } from "./hot-blocks.ts";
import { hotBlocksSchema } from "./messages.ts";

test("ranges travel as numbers and come back", () => {
  const ranges = [
    { database: 5, filenode: 16384, fork: 0, firstBlock: 0, blocks: 3 },
    { database: 0, filenode: 1260, fork: 2, firstBlock: 7, blocks: 1 },
  ];
  const line: unknown = JSON.parse(JSON.stringify(packRanges(ranges)));
  expect(unpackRanges(hotBlocksSchema.parse(line))).toEqual(ranges);
  // A line of another version that is cut: what is whole of it.
  expect(unpackRanges({ ranges: [1, 2, 0, 4, 5, 6, 7] })).toHaveLength(1);
});

test("a range lies in files of 1 GiB, named after fork and number", () => {
  const range = { database: 5, filenode: 16384, fork: 0, firstBlock: 131_070, blocks: 4 };
  expect(stretchesOf(range)).toEqual([
    { file: "base/5/16384", atBytes: 131_070 * 8192, bytes: 2 * 8192 },
    { file: "base/5/16384.1", atBytes: 0, bytes: 2 * 8192 },
  ]);
  const shared = { database: 0, filenode: 1260, fork: 2, firstBlock: 0, blocks: 1 };
  expect(stretchesOf(shared)).toEqual([{ file: "global/1260_vm", atBytes: 0, bytes: 8192 }]);
  expect(stretchesOf({ ...shared, fork: 9 })).toEqual([]);
  const far = { ...range, firstBlock: 3 * 131_072 + 5, blocks: 1 };
  expect(stretchesOf(far)).toEqual([{ file: "base/5/16384.3", atBytes: 5 * 8192, bytes: 8192 }]);
});
