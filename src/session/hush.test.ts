import { describe, expect, it } from "vitest";
import { hushed, type HushSight } from "./hush.ts";

const frozen: HushSight = {
  nowMs: 10_000,
  heardMs: 7_800,
  sentMs: 9_900,
  isUnread: false,
  isOwed: true,
  isAtRest: false,
  hasOther: true,
};

describe("a session on a server that hangs for the cluster", () => {
  it("leaves at once where that has been quiet, whatever it is doing", () => {
    expect(hushed(frozen)).toBe("leave");
    expect(hushed({ ...frozen, isOwed: false })).toBe("leave");
  });

  it("stays while it is talked to, and while it does not listen itself", () => {
    expect(hushed({ ...frozen, heardMs: 9_900 })).toBe(900);
    expect(hushed({ ...frozen, heardMs: 9_000 })).toBe("leave");
    expect(hushed({ ...frozen, isUnread: true })).toBe(1_000);
  });

  it("leaves at a moment of rest, though it was talked to until then", () => {
    const resting = { ...frozen, heardMs: 9_999, isOwed: false, isAtRest: true };
    expect(hushed(resting)).toBe("leave");
    expect(hushed({ ...resting, hasOther: false })).toBe(999);
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
