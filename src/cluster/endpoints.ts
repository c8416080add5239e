import { isEligible, listed } from "./custom-endpoints.ts";
import { customPort, instancePort, portOffsets } from "./ports.ts";
import type { ClusterState, CustomEndpoint } from "./state.ts";

/** One port that the proxy listens on. */
export interface EndpointPlace {
  /** Of type instance: the instance's. */
  readonly id: string;
  readonly type: "writer" | "reader" | "instance" | "custom";
  readonly port: number;
  /** It takes connections from there alone; undefined: from where access.allow says. */
  readonly allow?: readonly string[] | undefined;
}

/** Every endpoint that the cluster has; `basePort` is the writer's. */
export function endpointPlaces(state: ClusterState, basePort: number): EndpointPlace[] {
  const places: EndpointPlace[] = [
    { id: "writer", type: "writer", port: basePort + portOffsets.writer },
    { id: "reader", type: "reader", port: basePort + portOffsets.reader },
    ...state.instances.map(({ id, ordinal }) => ({
      id,
      type: "instance" as const,
      port: instancePort(basePort, ordinal),
    })),
    ...(state.endpoints ?? []).map(({ id, ordinal }) => ({
      id,
      type: "custom" as const,
      port: customPort(basePort, ordinal),
    })),
  ];
  return places.map((place) => {
    const own = state.access?.find(({ endpoint }) => endpoint === place.id);
    return own ? { ...place, allow: own.allow } : place;
  });
}

/** An instance, as a choice among several sees it. */
export interface Available {
  readonly id: string;
  readonly role: "none" | "reader" | "writer";
  /** It takes sessions, and has heard of the newest epoch. */
  readonly isAdmitted: boolean;
  readonly isLagging: boolean;
}

/**
 * To whom the reader endpoint leads new sessions: readers within the bound of lag; the writer if there is none, and it
 * takes sessions.
 */
export function readersFor<T extends Available>(
  instances: readonly T[],
  writer: string | null,
): T[] {
  const open = instances.filter((one) => one.isAdmitted);
  const readers = open.filter((one) => one.role === "reader" && !one.isLagging);
  return readers.length > 0 ? readers : open.filter((one) => one.id === writer);
}

/**
 * To whom a custom endpoint leads new sessions: those of its members that take any, without those that lag, unless all
 * do. Never to somebody else, as on Aurora. `members`: whom its list means.
 */
export function membersFor<T extends Available>(
  { type, members }: { readonly type: CustomEndpoint["type"]; readonly members: readonly string[] },
  instances: readonly T[],
): T[] {
  const open = instances.filter(
    (one) => one.isAdmitted && members.includes(one.id) && isEligible(type, one.role),
  );
  const fresh = open.filter((one) => !one.isLagging);
  return fresh.length > 0 ? fresh : open;
}

/**
 * Why a custom endpoint leads to nobody at this moment, for people. A member that writes is there, and takes sessions; only not
 * here: on Aurora, too, readers alone are eligible for type READER, and a failover changes no list.
 */
export function whyNobody(
  { type, members }: { readonly type: CustomEndpoint["type"]; readonly members: readonly string[] },
  instances: readonly Pick<Available, "id" | "role" | "isAdmitted">[],
): string {
  if (members.length === 0) return "its list is empty";
  const open = instances.filter((one) => one.isAdmitted && members.includes(one.id));
  const writer = open.find(({ role }) => !isEligible(type, role));
  if (!writer) return "none of its instances is available";
  const others = members.length > 1 ? ", and none of its other instances is available" : "";
  return `it leads to readers only, and ${writer.id} is the writer now${others}`;
}

/** What proxies are told of the custom endpoints. */
export function customRoutes(
  state: ClusterState,
): { id: string; type: CustomEndpoint["type"]; members: string[] }[] {
  return (state.endpoints ?? []).map((one) => ({
    id: one.id,
    type: one.type,
    members: listed(state, one),
  }));
}
