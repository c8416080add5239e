import { describe, expect, it } from "vitest";
import { lsn } from "../base/lsn.ts";
import { type Candidate, requireTarget } from "./failover.ts";

function aReader(ordinal: number, facts: Partial<Candidate> = {}): Candidate {
  const id = `instance-${ordinal}`;
  const replayLsn = lsn(0x300_0000n);
  return {
    id,
    ordinal,
    tier: 1,
    state: "available",
    isReady: true,
    isSilent: false,
    replayLsn,
    ...facts,
  };
}

const theWriter = aReader(1, { isReady: false });
const choose = (candidates: Candidate[], wanted?: string): string =>
  requireTarget([theWriter, ...candidates], { writer: "instance-1", wanted });

describe("the choice of a failover's target", () => {
  it("takes one that answers, if there is any, whatever its tier", () => {
    const silent = aReader(2, { tier: 0, isSilent: true });
    expect(choose([silent, aReader(3, { tier: 15 })])).toBe("instance-3");
    expect(choose([silent])).toBe("instance-2");
  });

  it("takes the lowest tier, however far behind it is", () => {
    const behind = aReader(3, { tier: 0, replayLsn: lsn(0x100n) });
    expect(choose([aReader(2), behind, aReader(4)])).toBe("instance-3");
  });

  it("takes the most caught up of one tier", () => {
    expect(choose([aReader(2), aReader(3, { replayLsn: lsn(0x400_0000n) })])).toBe("instance-3");
  });

  it("takes one that has told its position before one that has not", () => {
    expect(choose([aReader(2, { replayLsn: undefined }), aReader(3)])).toBe("instance-3");
  });

  it("is the same each time where nothing tells them apart", () => {
    expect(choose([aReader(4), aReader(2), aReader(3)])).toBe("instance-2");
  });

  it("passes over readers that are not available", () => {
    const starting = aReader(2, { tier: 0, isReady: false, state: "starting" });
    expect(choose([starting, aReader(3)])).toBe("instance-3");
  });

  it("takes the named one, whatever its tier", () => {
    expect(choose([aReader(2, { tier: 0 }), aReader(3, { tier: 15 })], "instance-3")).toBe(
      "instance-3",
    );
  });

  it.each([
    ["nobody", [], undefined, "there is no available reader to promote"],
    ["a stranger", [aReader(2)], "instance-9", 'there is no instance "instance-9"'],
    ["the writer", [aReader(2)], "instance-1", "instance-1 is the writer already"],
    [
      "one that is not ready",
      [aReader(2, { isReady: false, state: "recovering" })],
      "instance-2",
      "instance-2 cannot be promoted: it is recovering",
    ],
  ])("refuses %s", (_, candidates, wanted, message) => {
    expect(() => choose(candidates, wanted)).toThrow(message);
  });
});
