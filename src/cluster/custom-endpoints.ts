import { BorealisError, sqlState } from "../base/errors.ts";
import { customEndpointsMax } from "./ports.ts";
import type { ClusterState, CustomEndpoint, InstanceList } from "./state.ts";

/**
 * Custom endpoints: which a cluster has, and whom they lead to. As Aurora documents them: a static list names the members,
 * an exclusion list everybody else, also who comes later; one of the two at most. Lists are not changed by a failover: the
 * type says who of them is eligible at this moment. Pure: the state comes in, and the next one goes out.
 */

/** What was asked for. Undefined: not said, so all, or as it was. */
export interface EndpointWish {
  readonly id: string;
  readonly type: CustomEndpoint["type"] | undefined;
  readonly list: InstanceList | undefined;
}

const nameBytesMax = 63;

/** The endpoint that would be created; it has the first port that is free. Raises 22023 for what can never be, 55000 for what cannot be now. */
export function plannedEndpoint(state: ClusterState, wish: EndpointWish): CustomEndpoint {
  const { id, type, list } = wish;
  requireGoodName(id);
  const known = state.endpoints ?? [];
  if (known.some((one) => one.id === id) || namesOfOthers(state).includes(id)) {
    throw refusedNow(`there is an endpoint "${id}" already`, "choose another name");
  }
  if (known.length >= customEndpointsMax) {
    const why = `there are ${customEndpointsMax} custom endpoints, which is the most`;
    throw refusedNow(why, "borealis endpoint delete makes room");
  }
  if (type === undefined) throw refused("an endpoint needs a type", "reader or any");
  const taken = new Set(known.map((one) => one.ordinal));
  const ordinal = Array.from({ length: customEndpointsMax }, (_, k) => k).find(
    (k) => !taken.has(k),
  );
  const chosen = list ?? everybody;
  requireGoodList(state, chosen);
  return { id, ordinal: ordinal ?? 0, type, list: chosen };
}

/** The state with it. */
export function withEndpoint(state: ClusterState, added: CustomEndpoint): ClusterState {
  const endpoints = [...(state.endpoints ?? []), added].toSorted((a, b) => a.ordinal - b.ordinal);
  return { ...state, endpoints };
}

/** The state in which it has another type, or another list. Raises 22023 for an endpoint or an instance that is none. */
export function withEndpointChanged(state: ClusterState, wish: EndpointWish): ClusterState {
  const { id, type, list } = wish;
  const before = requireEndpoint(state, id);
  if (type === undefined && list === undefined) {
    throw refused("nothing to change was named", "give --type, --static or --exclude");
  }
  if (list) requireGoodList(state, list);
  const after = { ...before, type: type ?? before.type, list: list ?? before.list };
  return withEndpoint(withoutEndpoint(state, id), after);
}

/** The state without it. Raises 22023 for one that is none. */
export function withoutEndpoint(state: ClusterState, id: string): ClusterState {
  const removed = requireEndpoint(state, id);
  const { endpoints = [], ...rest } = state;
  const left = endpoints.filter((one) => one !== removed);
  return left.length === 0 ? rest : { ...rest, endpoints: left };
}

/** The state when no list names that instance any more: another one may get its name. */
export function withoutListed(state: ClusterState, instance: string): ClusterState {
  if (!state.endpoints) return state;
  const endpoints = state.endpoints.map((one) => {
    const { kind, instances } = one.list;
    return { ...one, list: { kind, instances: instances.filter((id) => id !== instance) } };
  });
  return { ...state, endpoints };
}

/** Whom its list means, whatever role they have and whether they are available, in the order of the state. */
export function listed(state: Pick<ClusterState, "instances">, { list }: CustomEndpoint): string[] {
  const isNamed = (id: string): boolean => list.instances.includes(id);
  const ids = state.instances.map(({ id }) => id);
  return ids.filter((id) => isNamed(id) === (list.kind === "static"));
}

/** Whether one of that role is eligible. */
export function isEligible(
  type: CustomEndpoint["type"],
  role: "none" | "reader" | "writer",
): boolean {
  return role === "reader" || (role === "writer" && type === "any");
}

/** Without a list all are meant. */
const everybody: InstanceList = { kind: "exclude", instances: [] };

function requireEndpoint(state: ClusterState, id: string): CustomEndpoint {
  const known = state.endpoints ?? [];
  const found = known.find((one) => one.id === id);
  if (found) return found;
  if (namesOfOthers(state).includes(id)) {
    throw refused(`"${id}" is no custom endpoint`, "a cluster always has it as it is");
  }
  const names = known.map((one) => one.id).join(", ");
  throw refused(
    `there is no custom endpoint "${id}"`,
    names === "" ? "borealis endpoint create makes one" : `there are ${names}`,
  );
}

function namesOfOthers(state: ClusterState): string[] {
  const instances = [...state.instances, ...(state.leaving ?? [])];
  return ["writer", "reader", ...instances.map(({ id }) => id)];
}

/** Part of host names on Aurora, and what people type. */
function requireGoodName(id: string): void {
  if (id.length > nameBytesMax || !/^[a-z](-?[a-z0-9])*$/.test(id)) {
    throw refused(
      `"${id}" cannot be the name of an endpoint`,
      `use lower-case letters, digits and single hyphens, a letter first, at most ${nameBytesMax}`,
    );
  }
  if (/^instance-\d+$/.test(id)) {
    throw refused(`"${id}" is a name for an instance's own endpoint`, "choose another name");
  }
}

function requireGoodList(state: ClusterState, { kind, instances }: InstanceList): void {
  const stranger = instances.find((id) => !state.instances.some((one) => one.id === id));
  if (stranger !== undefined) {
    const names = state.instances.map(({ id }) => id).join(", ");
    throw refused(`there is no instance "${stranger}"`, `there are ${names}`);
  }
  if (new Set(instances).size < instances.length) {
    throw refused("an instance is named twice", "name each once");
  }
  if (kind === "static" && instances.length === 0) {
    throw refused("a static list without an instance leads nowhere", "name one, or use --exclude");
  }
}

function refused(why: string, hint: string): BorealisError {
  return new BorealisError(sqlState.invalidParameter, why, { hint });
}

function refusedNow(why: string, hint: string): BorealisError {
  return new BorealisError(sqlState.notInPrerequisiteState, why, { hint });
}
