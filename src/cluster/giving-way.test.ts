import { describe, expect, it } from "vitest";
import { GivingWay } from "./giving-way-shell.ts";

/** Work that lasts until it is interrupted, and says something of its own then. */
function interrupted(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    signal.addEventListener("abort", () => reject(new Error("no storage node has the log")));
  });
}

const never = new AbortController().signal;

describe("work that gives way", () => {
  it("says whom it gave way to, not what it met by that", async () => {
    const works = new GivingWay();
    const first = works.run(never, interrupted);
    expect(works.isUnderWay).toBe(true);
    works.giveWay(new Error("another one was asked for"));
    expect(works.isUnderWay).toBe(false);
    await expect(first).rejects.toThrow("another one was asked for");
  });

  it("leaves alone what came after it", async () => {
    const works = new GivingWay();
    const first = works.run(never, interrupted);
    works.giveWay(new Error("another one was asked for"));
    const second = works.run(never, () => Promise.resolve(2));
    await expect(first).rejects.toThrow("another");
    expect(await second).toBe(2);
    expect(works.isUnderWay).toBe(false);
  });

  it("raises its own failure, and that of whoever stops everything", async () => {
    const works = new GivingWay();
    await expect(works.run(never, () => Promise.reject(new Error("torn")))).rejects.toThrow("torn");
    const closing = new AbortController();
    const last = works.run(closing.signal, interrupted);
    closing.abort();
    await expect(last).rejects.toThrow("no storage node has the log");
  });
});
