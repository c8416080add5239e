import { type ClusterSight, instanceSight, type InstanceStatus } from "../instance/index.ts";
import { instancePort, loopbackAddress } from "./ports.ts";
import type { ClusterState } from "./state.ts";

/** An instance as it was when it was last heard. Times are milliseconds since 1970. */
export interface Heard {
  readonly status: InstanceStatus;
  readonly atMs: number;
  /** How far it was behind when that was known last: of a writer nothing, of a reader what it says. */
  readonly lag: { readonly ms: number; readonly atMs: number };
}

/** What `status`, heard at `atMs`, makes of what was known. `isWriter`: it takes writes. */
export function hear(
  before: Heard | undefined,
  status: InstanceStatus,
  { isWriter, atMs }: { readonly isWriter: boolean; readonly atMs: number },
): Heard {
  const told = isWriter ? 0 : status.role === "reader" ? status.lagMs : null;
  const known = told === null ? before?.lag : { ms: told, atMs };
  return { status, atMs, lag: known ?? { ms: 0, atMs } };
}

/** One that fell, or that starts, is behind by the time since its lag was known: wrappers take none for zero, the best there is. */
function lagShown({ lag, atMs }: Heard, nowMs: number): number {
  return lag.atMs === atMs ? lag.ms : lag.ms + Math.max(0, nowMs - lag.atMs);
}

/** A volume has one of six nodes; more of them come with storage on many hosts. */
const protectionGroups = 1;

/**
 * What agents show in SQL of the cluster. Everybody is listed, as Aurora's wrappers need it: who is away as a reader that was
 * heard of when it was, or in 1970 if this control plane has not heard of it: wrappers leave out what is older than five
 * minutes, and would take one that is dead for weeks for alive. Pure.
 */
export function clusterSight(facts: {
  readonly state: ClusterState;
  /** Who takes writes; null: nobody does just now. */
  readonly writer: string | null;
  readonly heard: ReadonlyMap<string, Heard>;
  /** Addresses at which endpoints do listen: at others there may be somebody else. */
  readonly loopback: readonly string[];
  /** Milliseconds since 1970. */
  readonly nowMs: number;
}): ClusterSight {
  const { state, writer, heard, loopback, nowMs } = facts;
  return {
    instances: state.instances.map(({ id, ordinal }) => {
      const own = loopbackAddress(instancePort(0, ordinal), 0);
      const address = loopback.includes(own) ? own : null;
      const last = heard.get(id);
      if (!last) return unheard(id, address);
      const isWriter = id === writer;
      const sight = instanceSight(last.status, { isWriter, heardAtMs: last.atMs, address });
      return isWriter ? sight : { ...sight, lagMs: lagShown(last, nowMs) };
    }),
    volume: {
      protectionGroups,
      nodes: state.nodes.length,
      branchLsn: state.branchLsn ?? null,
    },
  };
}

function unheard(id: string, address: string | null): ClusterSight["instances"][number] {
  const nothing = { vdl: null, replayLsn: null, lagMs: null, figures: null };
  return { id, address, isWriter: false, heardAtMs: 0, ...nothing };
}
