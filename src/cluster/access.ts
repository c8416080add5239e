import { BorealisError, sqlState } from "../base/errors.ts";
import { endpointPlaces } from "./endpoints.ts";
import type { ClusterState } from "./state.ts";

/** More would be no list that a person looks through. */
export const stretchesMax = 200;

/**
 * The state in which an endpoint takes connections from these addresses alone; null: from where access.allow says. Raises 22023
 * for an endpoint that is none, and for too many. That they are addresses is known.
 */
export function withAccess(
  state: ClusterState,
  endpoint: string,
  allow: readonly string[] | null,
): ClusterState {
  const known = endpointPlaces(state, 0).map(({ id }) => id);
  if (!known.includes(endpoint)) {
    throw new BorealisError(sqlState.invalidParameter, `there is no endpoint "${endpoint}"`, {
      hint: `there are ${known.join(", ")}`,
    });
  }
  if (allow === null) return withoutAccess(state, endpoint);
  if (allow.length > stretchesMax) {
    throw new BorealisError(
      sqlState.invalidParameter,
      `a list has ${stretchesMax} stretches of addresses at most`,
      { hint: "name larger ones" },
    );
  }
  const others = (state.access ?? []).filter((one) => one.endpoint !== endpoint);
  return { ...state, access: [...others, { endpoint, allow: [...new Set(allow)] }] };
}

/** The state in which nothing is said of it: it is no more, or is as others are. */
export function withoutAccess(state: ClusterState, endpoint: string): ClusterState {
  const { access = [], ...rest } = state;
  const left = access.filter((one) => one.endpoint !== endpoint);
  return left.length === 0 ? rest : { ...rest, access: left };
}
