import { describe, expect, it } from "vitest";
import { hushed, type HushSight } from "./hush.ts";

const frozen: HushSight = {
  nowMs: 10_000,
  heardMs: 7_800,
  sentMs: 9_900,
  isUnread: false,
  isOwed: true,
  isAtRest: false,
  isForsaken: false,
  hasOther: true,
};

describe("a session on a server that hangs for the cluster", () => {
  it("leaves once that has had a second to answer what it was asked", () => {
    expect(hushed(frozen)).toBe(900);
    expect(hushed({ ...frozen, sentMs: 9_000 })).toBe("leave");
  });

  it("stays where it waits for nothing and has what would be lost, unless its client has gone", () => {
    const idle = { ...frozen, isOwed: false, sentMs: 0, heardMs: 0 };
    expect(hushed(idle)).toBe(1_000);
    expect(hushed({ ...idle, isForsaken: true })).toBe("leave");
  });

  it("stays while it is talked to, and while it does not listen itself", () => {
    expect(hushed({ ...frozen, sentMs: 5_000, heardMs: 9_900 })).toBe(900);
    expect(hushed({ ...frozen, sentMs: 5_000, heardMs: 9_000 })).toBe("leave");
    expect(hushed({ ...frozen, isUnread: true })).toBe(1_000);
  });

  it("leaves at a moment of rest, though it was talked to until then", () => {
    const resting = { ...frozen, heardMs: 9_999, isOwed: false, isAtRest: true };
    expect(hushed(resting)).toBe("leave");
    expect(hushed({ ...resting, hasOther: false })).toBe(1_000);
  });

  it("with nowhere to go leaves only what has not answered it for a while", () => {
    const alone = { ...frozen, hasOther: false };
    expect(hushed(alone)).toBe(1_900);
    expect(hushed({ ...alone, sentMs: 8_001 })).toBe(1);
    expect(hushed({ ...alone, sentMs: 8_000 })).toBe("leave");
    expect(hushed({ ...alone, sentMs: 5_000, heardMs: 8_500 })).toBe(500);
    expect(hushed({ ...alone, sentMs: 0, heardMs: 0, isOwed: false })).toBe(1_000);
  });
});
