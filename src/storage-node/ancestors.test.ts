import { describe, expect, it } from "vitest";
import { nodeId, volumeId } from "../base/ids.ts";
import { lsn, type Lsn } from "../base/lsn.ts";
import {
  ancestorOf,
  type Ancestors,
  ancestorsOfClone,
  encodeAncestors,
  parseAncestors,
} from "./ancestors.ts";
import { newFileBytes } from "./file-sizes.ts";

const at = (value: number): Lsn => lsn(BigInt(value));
const grandparent = {
  volumeId: volumeId("11111111-2222-4333-8444-555555555551"),
  nodeId: nodeId("11111111-2222-4333-8444-aaaaaaaaaaa1"),
};
const parent = {
  volumeId: volumeId("11111111-2222-4333-8444-555555555552"),
  nodeId: nodeId("11111111-2222-4333-8444-aaaaaaaaaaa2"),
};

/** Files 1 to 7 are the grandparent's, which count up to 5000; the parent's own go on. */
const ofParent: Ancestors = [{ ...grandparent, lastSequence: 7, to: at(5000) }];

describe("the ancestors of a clone's node", () => {
  it("are its parent's, and the parent", () => {
    const found = ancestorsOfClone({ ...parent, ancestors: ofParent, lastSequence: 9 }, at(8000));
    expect(found).toEqual([
      { ...grandparent, lastSequence: 7, to: at(5000) },
      { ...parent, lastSequence: 9, to: at(8000) },
    ]);
    expect([1, 7, 8, 9, 10].map((one) => ancestorOf(found, one)?.nodeId)).toEqual([
      grandparent.nodeId,
      grandparent.nodeId,
      parent.nodeId,
      parent.nodeId,
      undefined,
    ]);
  });

  it("count no further than where the clone branches off", () => {
    const found = ancestorsOfClone({ ...parent, ancestors: ofParent, lastSequence: 6 }, at(4000));
    // None of the parent's own files is among those.
    expect(found).toEqual([{ ...grandparent, lastSequence: 6, to: at(4000) }]);
  });

  it("are read back as they were written, and never with a flipped bit", () => {
    const found = ancestorsOfClone({ ...parent, ancestors: ofParent, lastSequence: 9 }, at(8000));
    const text = encodeAncestors(found);
    expect(parseAncestors(text)).toEqual(found);
    for (let byte = 0; byte < text.length; byte++) {
      const bytes = Buffer.from(text);
      bytes.writeUInt8(bytes.readUInt8(byte) ^ 1, byte);
      const parsed = parseAncestors(bytes.toString());
      // White space means nothing.
      if (parsed) expect(parsed, `byte ${byte}`).toEqual(found);
    }
  });
});

describe("new log files", () => {
  const mebibyte = 1024 * 1024;
  const segmentBytes = 16 * mebibyte;
  const sizes = (ancestors: Ancestors, from: number, segment = segmentBytes): number[] =>
    Array.from({ length: 9 }, (_, k) => {
      return newFileBytes(from + k, { segmentBytes: segment, ancestors }) / mebibyte;
    });

  it("are as big as the setting says", () => {
    expect(sizes([], 1)).toEqual(Array.from({ length: 9 }, () => 16));
  });

  it("are small at first in a clone, and grow to that", () => {
    expect(sizes(ofParent, 8)).toEqual([2, 2, 4, 4, 8, 8, 16, 16, 16]);
    expect(sizes(ofParent, 8, 2 * mebibyte)).toEqual([2, 2, 2, 2, 2, 2, 2, 2, 2]);
    expect(sizes(ofParent, 1_000_000)[0]).toBe(16);
  });
});
