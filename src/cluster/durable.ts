import { findLsn, type Lsn } from "../base/lsn.ts";
import type { InstanceStatus } from "../instance/index.ts";

/** How far the open writer of an epoch has its log durable. */
export interface Durable {
  readonly epoch: number;
  readonly vdl: Lsn;
  /** When it was there, wall clock. */
  readonly atMs: number;
}

/** Undefined: it has told none. */
export function durableIn(status: InstanceStatus | undefined): Durable | undefined {
  const vdl = findLsn(status?.vdl ?? "");
  return status && vdl !== undefined
    ? { epoch: status.epoch, vdl, atMs: status.vdlAtMs ?? 0 }
    : undefined;
}
