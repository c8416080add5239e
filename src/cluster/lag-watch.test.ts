import { describe, expect, it } from "vitest";
import type { InstanceStatus } from "../instance/index.ts";
import { LagWatch } from "./lag-watch.ts";

/** What a watch looks at. */
function status(facts: Partial<InstanceStatus>): InstanceStatus {
  return { id: "r", role: "reader", vdl: null, replayLsn: null, ...facts } as InstanceStatus;
}

const writerAt = (vdl: string): InstanceStatus => status({ id: "w", role: "writer", vdl });
const readerAt = (replayLsn: string | null): InstanceStatus => status({ replayLsn });

describe("a reader's lag", () => {
  it("is told by and large, and not at all while it may be nothing", () => {
    const watch = new LagWatch(10_000);
    watch.noteWriter(writerAt("0/20"), 1_000);
    expect(watch.lagOf(readerAt("0/20"), 90_000)).toEqual({ lagMs: 0, isLagging: false });
    expect(watch.lagOf(readerAt("0/10"), 2_900)).toEqual({ lagMs: 0, isLagging: false });
    expect(watch.lagOf(readerAt("0/10"), 3_000)).toEqual({ lagMs: 2_000, isLagging: false });
    expect(watch.lagOf(readerAt("0/10"), 8_999)).toEqual({ lagMs: 4_000, isLagging: false });
  });

  it("goes beyond the bound, and has come back only within half of it", () => {
    const watch = new LagWatch(10_000);
    watch.noteWriter(writerAt("0/20"), 0);
    watch.noteWriter(writerAt("0/30"), 4_000);
    expect(watch.lagOf(readerAt("0/10"), 10_000).isLagging).toBe(false);
    expect(watch.lagOf(readerAt("0/10"), 10_001).isLagging).toBe(true);
    expect(watch.lagOf(readerAt("0/20"), 10_001).isLagging).toBe(true);
    watch.noteWriter(writerAt("0/40"), 10_000);
    expect(watch.lagOf(readerAt("0/30"), 14_000).isLagging).toBe(false);
    expect(watch.lagOf(readerAt("0/20"), 14_000).isLagging).toBe(false);
  });

  it("grows while the reader says nothing new, and not while nobody writes", () => {
    const watch = new LagWatch(10_000);
    watch.noteWriter(writerAt("0/20"), 0);
    watch.noteWriter(undefined, 50_000);
    expect(watch.lagOf(readerAt("0/20"), 50_000).isLagging).toBe(false);
    watch.noteWriter(writerAt("0/30"), 60_000);
    expect(watch.lagOf(readerAt("0/20"), 75_000)).toEqual({ lagMs: 8_000, isLagging: true });
  });

  it("is none of a writer, nor of one that has not told where it is", () => {
    const watch = new LagWatch(1_000);
    watch.noteWriter(writerAt("0/20"), 0);
    const none = { lagMs: 0, isLagging: false };
    expect(watch.lagOf(writerAt("0/20"), 60_000)).toEqual(none);
    expect(watch.lagOf(readerAt(null), 60_000)).toEqual(none);
  });
});
