import { BorealisError, sqlState } from "../base/errors.ts";
import type { ClusterState, InstanceState } from "./state.ts";

/** The one of that name. Raises 22023, with those that there are. */
export function requireInstance(state: ClusterState, id: string): InstanceState {
  const found = state.instances.find((one) => one.id === id);
  if (found) return found;
  throw new BorealisError(sqlState.invalidParameter, `there is no instance "${id}"`, {
    hint: `there are ${state.instances.map((one) => one.id).join(", ")}`,
  });
}
