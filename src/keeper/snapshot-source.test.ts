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
  return findSource({ nodes: [], instances, durable: null, futures: [] })?.id;
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
  it("nobody when nobody is there", () => {
    expect(sourceOf(instance("instance-1", "writer", { isAvailable: false }))).toBeUndefined();
  });
});
