import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { BorealisError } from "../base/errors.ts";
import { extentObject, snapshotObject } from "../volume/index.ts";
import { boundedLosses, encodeLosses, type LossRecord, parseLosses } from "./loss-record.ts";

const extent = (n: number): string => extentObject(n.toString(16).padStart(64, "0"));
const record: LossRecord = {
  isMet: false,
  isCut: false,
  lost: [
    { name: extent(7), snapshots: ["auto-1", "mine"] },
    { name: snapshotObject("auto-2"), snapshots: ["auto-2"] },
  ],
};
const codeOf = (text: string): string | undefined => {
  try {
    parseLosses(text);
    return undefined;
  } catch (error) {
    if (error instanceof BorealisError) return error.code;
    throw error;
  }
};

describe("the record of lost objects", () => {
  it("is read as it was written", () => {
    expect(parseLosses(encodeLosses(record))).toEqual(record);
    const none = { isMet: true, isCut: true, lost: [] };
    expect(parseLosses(encodeLosses(none))).toEqual(none);
    // As an earlier version wrote it.
    expect(parseLosses('{"format":1,"isMet":true,"lost":[]}').isCut).toBe(false);
  });

  it("that is cut anywhere is damaged, and says what follows", () => {
    const text = encodeLosses(record).trimEnd();
    for (let length = 0; length < text.length; length++)
      expect(codeOf(text.slice(0, length))).toBe("XX001");
    expect(() => parseLosses("")).toThrow("the record of lost objects is damaged");
  });

  it.each([
    ["a name that leads elsewhere", { name: "../../state.json", snapshots: ["auto-1"] }],
    ["log, which is no snapshot's", { name: "volume.json", snapshots: ["auto-1"] }],
    ["an id that none can have", { name: extent(1), snapshots: ["a/../b"] }],
    ["an id that is no text", { name: extent(1), snapshots: [{ length: 1 }] }],
    ["no ids", { name: extent(1), snapshots: "auto-1" }],
    ["no object", null],
  ])("is damaged by %s", (_, one) => {
    expect(codeOf(JSON.stringify({ format: 1, isMet: true, lost: [one] }))).toBe("XX001");
  });

  it("of a newer version is not guessed at", () => {
    expect(codeOf(JSON.stringify({ format: 2, isMet: true, lost: [] }))).toBe("0A000");
  });

  it("is refused or read, whatever the bytes are, and nothing else", () => {
    const parts = { format: fc.constantFrom<unknown>(1, "1"), isMet: fc.anything() };
    const rest = { isCut: fc.anything(), lost: fc.anything() };
    const near = fc.record({ ...parts, ...rest }).map((one) => JSON.stringify(one));
    fc.assert(
      fc.property(fc.oneof(fc.string(), fc.json(), near), (text) => {
        expect([undefined, "XX001", "0A000"]).toContain(codeOf(text));
      }),
    );
  });

  it("is bounded, and has every snapshot that is hurt all the same", () => {
    const lost = Array.from({ length: 100 }, (_, n) => ({
      name: extent(n),
      snapshots: ["one", "two", ...(n === 90 ? ["three"] : [])],
    }));
    const bounded = boundedLosses(lost, 10);
    expect(bounded).toEqual([...lost.slice(0, 5), { name: extent(90), snapshots: ["three"] }]);
    expect(boundedLosses(lost)).toEqual(lost);
  });

  it("says that it was cut short, once it was", () => {
    const snapshots = Array.from({ length: 9_999 }, (_, n) => `auto-${n}`);
    const lost = [1, 2].map((n) => ({
      name: extent(n),
      snapshots: n === 1 ? snapshots : ["mine"],
    }));
    const read = parseLosses(encodeLosses({ isMet: false, isCut: false, lost }));
    expect([read.isCut, read.lost.length]).toEqual([false, 2]);
    const more = [...lost, { name: extent(3), snapshots: ["mine"] }];
    const cut = parseLosses(encodeLosses({ isMet: false, isCut: false, lost: more }));
    expect([cut.isCut, cut.lost.length]).toEqual([true, 2]);
    expect(parseLosses(encodeLosses(cut)).isCut).toBe(true);
  });
});
