import { describe, expect, it } from "vitest";
import { parseLimitMs } from "./consistency.ts";
import { applyWish, defaultWishes } from "./survival-wishes.ts";

describe("limits of forwarding", () => {
  it.each<[string | null, "s" | "ms", number | undefined]>([
    ["30", "s", 30_000],
    ["30", "ms", 30],
    ["2min", "s", 120_000],
    ["500ms", "s", 500],
    ["0", "s", Number.POSITIVE_INFINITY],
    ["never", "ms", undefined],
    [null, "ms", undefined],
  ])("%s in %s: %s ms", (text, unit, expected) => {
    expect(parseLimitMs(text, unit)).toBe(expected);
  });

  it("are those of the start again after a RESET, and Aurora's if they are none", () => {
    const name = "apg_write_forward.connect_timeout";
    const atStart = applyWish(defaultWishes, name, "5");
    expect(atStart.connectTimeoutMs).toBe(5_000);
    const changed = applyWish(atStart, name, "7", atStart);
    expect(applyWish(changed, name, null, atStart).connectTimeoutMs).toBe(5_000);
    expect(applyWish(changed, "*", null, atStart)).toEqual(atStart);
    expect(applyWish(changed, name, "soon", atStart).connectTimeoutMs).toBe(30_000);
    const idle = applyWish(changed, "apg_write_forward.idle_session_timeout", "0", atStart);
    expect(idle.idleTimeoutMs).toBe(Number.POSITIVE_INFINITY);
  });
});
