import { describe, expect, it } from "vitest";
import type { World } from "./messages.ts";
import { findSource } from "./snapshot-source.ts";

function instance(
  id: string,
  role: "reader" | "writer",
  more: Partial<World["instances"][number]> = {},
): World["instances"][number] {
  const socketDir = `/run/${id}`;
  return { id, az: "az1", role, isAvailable: true, socketDir, replayLsn: "0/1000", ...more };
}
function sourceOf(...instances: World["instances"]): string | undefined {
  return findSource({ instances, durable: null }, { logBytes: 0 })?.id;
}

describe("a snapshot is taken from", () => {
  it("the reader that has replayed most", () => {
    const behind = instance("instance-2", "reader", { replayLsn: "0/FFFFFFF" });
    const ahead = instance("instance-3", "reader", { replayLsn: "1/0" });
    expect(sourceOf(instance("instance-1", "writer"), behind, ahead)).toBe("instance-3");
  });
  it("the writer only when no reader takes sessions", () => {
    const starting = instance("instance-2", "reader", { isAvailable: false });
    expect(sourceOf(starting, instance("instance-1", "writer"))).toBe("instance-1");
  });
  it("the writer when the readers are as far behind as a snapshot may hold log back", () => {
    const readers = [
      instance("instance-2", "reader", { replayLsn: "0/10000000" }),
      instance("instance-3", "reader", { replayLsn: null }),
    ];
    const instances = [instance("instance-1", "writer"), ...readers];
    const sourceAt = (vdl: string, logBytes: number, from = instances): string | undefined =>
      findSource({ instances: from, durable: { epoch: 1, vdl, atMs: 0 } }, { logBytes })?.id;
    const gib = 2 ** 30;
    expect(sourceAt("0/4FFFFFFF", gib)).toBe("instance-2");
    expect(sourceAt("0/50000000", gib)).toBe("instance-1");
    // However small what is due, a reader may fall back a little under load.
    expect(sourceAt("0/1FFFFFFF", 1)).toBe("instance-2");
    expect(sourceAt("0/20000000", 1)).toBe("instance-1");
    expect(sourceAt("0/50000000", gib, readers)).toBeUndefined();
  });
  it("nobody when nobody is there", () => {
    expect(sourceOf(instance("instance-1", "writer", { isAvailable: false }))).toBeUndefined();
  });
});
