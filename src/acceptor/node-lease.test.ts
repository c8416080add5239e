import { describe, expect, it } from "vitest";
import { epoch } from "../base/ids.ts";
import { NodeLease } from "./node-lease.ts";

const aLease = (): NodeLease => new NodeLease({ nowMs: 0, leaseMs: 0, epoch: epoch(1) });
const leaseMs = 2_000;

describe("a node's lease", () => {
  it("is released by an epoch whose rounds are fewer than those of the epoch before it", () => {
    const lease = aLease();
    lease.grant({ epoch: epoch(1), round: 100, leaseMs }, 0);
    lease.release(epoch(1), 100);
    lease.grant({ epoch: epoch(2), round: 3, leaseMs }, 1_000);
    expect(lease.waitMs(epoch(3), 1_500)).toBe(1_500);
    expect(lease.release(epoch(2), 2)).toBe(false);
    expect(lease.waitMs(epoch(3), 1_500)).toBe(1_500);
    expect(lease.release(epoch(2), 3)).toBe(true);
    expect(lease.waitMs(epoch(3), 1_500)).toBe(0);
  });

  it("keeps the rounds of its epoch when a heartbeat of an older one comes late", () => {
    const lease = aLease();
    lease.grant({ epoch: epoch(2), round: 3, leaseMs }, 0);
    lease.grant({ epoch: epoch(1), round: 200, leaseMs }, 10);
    expect(lease.release(epoch(2), 3)).toBe(true);
  });
});
