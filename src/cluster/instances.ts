import { BorealisError, sqlState } from "../base/errors.ts";
import { withoutAccess } from "./access.ts";
import { withoutParametersOf } from "./parameters.ts";
import { requireInstance } from "./require-instance.ts";
import { withoutListed } from "./custom-endpoints.ts";
import { processNames, zones } from "./names.ts";
import { instancesMax } from "./ports.ts";
import type { ClusterState, InstanceState } from "./state.ts";

/** Which instances a cluster has, and which it may have. Pure: the state comes in, and the next one goes out. */

/** What was asked for; the rest is chosen. */
export interface InstanceWish {
  readonly id: string | null;
  readonly az: string | null;
  readonly tier: number | null;
}

const defaultTier = 1;
const tierMax = 15;
const nameBytesMax = 63;

/**
 * The instance that would be added. `instance-K` has ordinal K, so that its port is the one that its name says; others
 * have the lowest that is free. Raises 22023 for what can never be, 55000 for what cannot be now.
 */
export function plannedInstance(state: ClusterState, wish: InstanceWish): InstanceState {
  const known = [...state.instances, ...(state.leaving ?? [])];
  if (wish.id !== null) requireGoodName(state, wish.id);
  if (state.instances.length >= instancesMax) {
    throw refusedNow(`there are ${instancesMax} instances, which is the most`, {
      hint: "borealis instance remove makes room",
    });
  }
  const same = known.find((one) => one.id === wish.id);
  if (same) {
    const isLeaving = !state.instances.includes(same);
    throw refusedNow(
      isLeaving ? `${same.id} is still being removed` : `there is an instance "${same.id}" already`,
      { hint: isLeaving ? "try again in a moment" : "choose another --id" },
    );
  }
  const taken = new Set(known.map((one) => one.ordinal));
  const ordinal = ordinalFor(wish.id, taken);
  const holder = known.find((one) => one.ordinal === ordinal);
  if (ordinal === undefined || holder) {
    const why = holder ? `${holder.id} has the port of ${wish.id}` : "no port is free yet";
    throw refusedNow(why, { hint: holder ? "choose another --id" : "try again in a moment" });
  }
  const az = wish.az === null ? quietestZone(state) : requireZone(wish.az);
  const tier = requireTier(wish.tier ?? defaultTier);
  return { id: wish.id ?? `instance-${ordinal}`, ordinal, az, tier };
}

/** The state with it. */
export function withInstance(state: ClusterState, added: InstanceState): ClusterState {
  const instances = [...state.instances, added].toSorted((a, b) => a.ordinal - b.ordinal);
  return { ...bornOf(state), instances };
}

/** The state in which it leaves. Raises 22023 for one that is none, 55000 for the writer. */
export function withoutInstance(state: ClusterState, id: string): ClusterState {
  const removed = requireInstance(state, id);
  if (id === state.writer) {
    throw refusedNow(`${id} is the writer, which cannot be removed`, {
      hint: "promote a reader first: borealis failover",
    });
  }
  const instances = state.instances.filter((one) => one !== removed);
  const leaving = [...(state.leaving ?? []), removed];
  const unnamed = withoutParametersOf(withoutAccess(withoutListed(state, id), id), id);
  return { ...bornOf(unnamed), instances, leaving };
}

/** The state when nothing is left of those. */
export function withoutLeft(state: ClusterState, gone: readonly string[]): ClusterState {
  const leaving = (state.leaving ?? []).filter((one) => !gone.includes(one.id));
  const { leaving: _, ...rest } = state;
  return leaving.length === 0 ? rest : { ...state, leaving };
}

/** The state in which it has that failover tier. Raises 22023 for an instance or a tier that is none. */
export function withTier(state: ClusterState, id: string, tier: number): ClusterState {
  requireInstance(state, id);
  requireTier(tier);
  const instances = state.instances.map((one) => (one.id === id ? { ...one, tier } : one));
  return { ...state, instances };
}

/** `up --readers` counts only at creation: what it was then is remembered from the first change on. */
function bornOf(state: ClusterState): ClusterState {
  return { ...state, readersAtBirth: state.readersAtBirth ?? state.instances.length - 1 };
}

/** Names files, sockets and processes, and is what people type. */
function requireGoodName(state: ClusterState, id: string): void {
  if (id.length > nameBytesMax || !/^[a-z](-?[a-z0-9])*$/.test(id)) {
    throw refused(`"${id}" cannot be the name of an instance`, {
      hint: `use lower-case letters, digits and single hyphens, a letter first, at most ${nameBytesMax}`,
    });
  }
  const others = [...state.nodes, ...(state.endpoints ?? [])].map((one) => one.id);
  const reserved = [...processNames, "writer", "reader", ...others];
  // NAME-driver.log is a log file of instance NAME's.
  if (reserved.includes(id) || id.endsWith("-driver")) {
    throw refused(`the name "${id}" is taken by something else in a cluster`, {
      hint: "choose another --id",
    });
  }
  if (/^instance-\d+$/.test(id) && numberOf(id) === undefined) {
    throw refused(`"${id}" cannot be the name of an instance: no endpoint has its port`, {
      hint: `there are instance-1 to instance-${instancesMax}; other names take any port that is free`,
    });
  }
}

/** K of `instance-K`. */
function numberOf(id: string): number | undefined {
  const digits = /^instance-([1-9]\d?)$/.exec(id)?.[1];
  const number = Number(digits);
  return digits !== undefined && number <= instancesMax ? number : undefined;
}

function ordinalFor(id: string | null, taken: ReadonlySet<number>): number | undefined {
  const own = id === null ? undefined : numberOf(id);
  if (own !== undefined) return own;
  return Array.from({ length: instancesMax }, (_, k) => k + 1).find((k) => !taken.has(k));
}

/** Where the fewest are; the first of those. */
function quietestZone(state: ClusterState): string {
  const count = (az: string): number => state.instances.filter((one) => one.az === az).length;
  return zones.reduce((best, az) => (count(az) < count(best) ? az : best));
}

function requireZone(az: string): string {
  const found = zones.find((zone) => zone === az);
  if (found) return found;
  throw refused(`there is no availability zone "${az}"`, { hint: `there are ${zones.join(", ")}` });
}

function requireTier(tier: number): number {
  if (Number.isInteger(tier) && tier >= 0 && tier <= tierMax) return tier;
  throw refused(`a tier is a number from 0 to ${tierMax}, not ${tier}`, {
    hint: "the reader of the lowest tier is promoted first",
  });
}

function refused(why: string, how: { readonly hint: string }): BorealisError {
  return new BorealisError(sqlState.invalidParameter, why, how);
}

function refusedNow(why: string, how: { readonly hint: string }): BorealisError {
  return new BorealisError(sqlState.notInPrerequisiteState, why, how);
}
