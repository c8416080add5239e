import type { Epoch } from "../base/ids.ts";
import { type Lsn, lsnMaxOf } from "../base/lsn.ts";
import type { Received } from "./acceptor-io.ts";
import { planConfigChange } from "./elect-plan.ts";
import type { ConfigChange, Seal } from "../quorum/index.ts";
import type { NodeCore } from "./node-core.ts";

/**
 * What an open driver asks of its nodes apart from log: membership (section 10), retention (11), and the seal that a
 * salvage puts on an old volume (10). Each is written, then answered by the acceptor.
 */
export function onConfigChange(core: NodeCore, received: Received, change: ConfigChange): void {
  if (!core.isCurrent(received, change.epoch)) return;
  const isBehindLow = core.end < change.low;
  if (isBehindLow && !core.isExclusive(received)) return;
  const next = planConfigChange(core.state, core.end, change);
  if (!core.fits(next, received)) return;
  core.persist(next, received, next.pendingCut ? "cut" : "answer");
}

interface EpochAndLsn {
  readonly epoch: Epoch;
  readonly lsn: Lsn;
}

export function onFloor(core: NodeCore, received: Received, message: EpochAndLsn): void {
  if (!core.isCurrent(received, message.epoch)) return;
  const floor = lsnMaxOf(core.state.floor, message.lsn);
  core.persist({ ...core.state, floor }, received);
}

export function onAdvanceLow(core: NodeCore, received: Received, message: EpochAndLsn): void {
  if (!core.isCurrent(received, message.epoch)) return;
  // Never beyond the floor that was recorded first, nor beyond what is here (M26).
  const base = core.rules.baseAfter(message.lsn, { floor: core.state.floor, scl: core.scl });
  if (base > core.state.base) core.persist({ ...core.state, base }, received);
}

export function onSeal(core: NodeCore, received: Received, seal: Seal): void {
  const { sealed, promised } = core.state;
  const isPromisedTo = promised === seal.epoch;
  if (sealed !== undefined && sealed !== seal.successor) return core.refuse(received, "sealed");
  if (!isPromisedTo) return core.refuse(received, seal.epoch < promised ? "stale" : "notAccepted");
  if (!core.isExclusive(received)) return;
  core.persist({ ...core.state, sealed: seal.successor }, received);
}
