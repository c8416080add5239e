import { BorealisError, sqlState } from "../base/errors.ts";
import { notAnybodys, ownedReason, superuserReason, valueReason } from "../base/owned-settings.ts";
import type { ParameterChange, ParameterStates, ParameterValues } from "../instance/index.ts";
import type { ParameterRow } from "./parameter-messages.ts";
import { requireInstance } from "./require-instance.ts";
import type { ClusterState, ParametersState } from "./state.ts";

const none: ParametersState = { version: 0, cluster: {}, instances: {} };
/** PostgreSQL has fewer settings. */
const countMax = 500;
const nameMax = 200;
const valueMax = 10_000;

/** What an instance is to have: the cluster's, and its own before those. */
export function parametersOf({ parameters = none }: ClusterState, id: string): ParameterValues {
  const { version, cluster, instances } = parameters;
  return { version, values: { ...cluster, ...instances[id] } };
}

/**
 * The state with these changes, of all instances or of one. Raises 22023 for an instance that is none, 54000 for too many, and
 * for one that is too long, 55P02 for a value with which Borealis would not get in.
 */
export function withParameters(
  state: ClusterState,
  instance: string | null,
  changes: readonly ParameterChange[],
): ClusterState {
  const { version, cluster, instances } = state.parameters ?? none;
  if (instance !== null) requireInstance(state, instance);
  const own = instance === null ? cluster : (instances[instance] ?? {});
  const values = new Map(Object.entries(own));
  for (const { name, value } of changes) {
    if (value === null) values.delete(name);
    else values.set(name, requireBearable(name, value));
  }
  if (values.size > countMax)
    throw new BorealisError(
      sqlState.limitExceeded,
      `${countMax} parameters can be set, and no more`,
      {
        hint: "reset those that are not needed any more",
      },
    );
  const next = Object.fromEntries([...values].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  const changed =
    instance === null ? { cluster: next } : { instances: { ...instances, [instance]: next } };
  return { ...state, parameters: { cluster, instances, ...changed, version: version + 1 } };
}

/** Nothing of an instance that is no more. */
export function withoutParametersOf(state: ClusterState, instance: string): ClusterState {
  const { parameters } = state;
  if (!parameters?.instances[instance]) return state;
  const left = Object.entries(parameters.instances).filter(([id]) => id !== instance);
  return { ...state, parameters: { ...parameters, instances: Object.fromEntries(left) } };
}

/** What a clone begins with: what all instances have. It has instances of its own. */
export function inheritedParameters({
  parameters,
}: Pick<ClusterState, "parameters">): Pick<ClusterState, "parameters"> {
  const isNothing = !parameters || Object.keys(parameters.cluster).length === 0;
  return isNothing ? {} : { parameters: { ...parameters, instances: {} } };
}

/** What is to be reset: one, or all of that scope. Raises 42704 if nobody has set it. */
export function resetsOf(
  state: ClusterState,
  instance: string | null,
  name: string | null,
): ParameterChange[] {
  const { cluster, instances } = state.parameters ?? none;
  if (instance !== null) requireInstance(state, instance);
  const names = Object.keys(instance === null ? cluster : (instances[instance] ?? {}));
  if (name === null) return names.map((one) => ({ name: one, value: null }));
  const lower = name.toLowerCase();
  if (names.includes(lower)) return [{ name: lower, value: null }];
  const whose = instance ?? "the cluster";
  throw new BorealisError(sqlState.undefinedObject, `parameter "${name}" is not set for ${whose}`, {
    hint: names.length > 0 ? `there are ${names.join(", ")}` : "none is set there",
  });
}

/** Raises 55P02 for what is Borealis's to set, or a superuser's where the master user is none, and why. */
export function requireAnybodys(
  name: string,
  { isSuperuser }: Pick<ClusterState, "isSuperuser">,
): void {
  if (ownedReason(name) !== undefined) throw notAnybodys(name);
  const reason = isSuperuser ? undefined : superuserReason(name);
  if (reason !== undefined) throw notAnybodys(name, reason);
}

/** All that users have set, and where it is in force. `states`: of the instances that answer. */
export function parameterRows(
  state: ClusterState,
  states: ReadonlyMap<string, ParameterStates>,
): ParameterRow[] {
  const { cluster, instances } = state.parameters ?? none;
  const all = state.instances.map(({ id }) => id);
  const own = all.flatMap((id) =>
    Object.entries(instances[id] ?? {}).map(([name, value]) => ({ name, value, scope: id })),
  );
  const common = Object.entries(cluster).map(([name, value]) => ({
    name,
    value,
    scope: "cluster",
  }));
  return [...common, ...own].map((row) => {
    const concerned =
      row.scope === "cluster"
        ? all.filter((id) => instances[id]?.[row.name] === undefined)
        : [row.scope];
    return { ...row, ...standing(row, concerned, states) };
  });
}

/** All that anybody has set. */
export function parameterNames({ parameters = none }: Pick<ClusterState, "parameters">): string[] {
  const names = [parameters.cluster, ...Object.values(parameters.instances)].flatMap(Object.keys);
  return [...new Set(names)];
}

function standing(
  { name, value }: Pick<ParameterRow, "name" | "value">,
  ids: readonly string[],
  states: ReadonlyMap<string, ParameterStates>,
): Pick<ParameterRow, "applyType" | "state" | "pending"> {
  const seen = ids.map((id) => ({ id, row: states.get(id)?.find((one) => one.name === name) }));
  const pending = seen.filter(({ row }) => row?.isPending === true).map(({ id }) => id);
  const context = seen.find(({ row }) => row?.context != null)?.row?.context ?? undefined;
  // One that has something else in its file was not told yet, or PostgreSQL has not read it.
  const isTaken = seen.every(({ row }) => row?.value === value);
  return {
    applyType: context === undefined ? null : context === "postmaster" ? "static" : "dynamic",
    state: pending.length > 0 ? "pending-reboot" : isTaken ? "in-sync" : "unknown",
    pending,
  };
}

function requireBearable(name: string, value: string): string {
  const reason = valueReason(name, value);
  if (reason !== undefined) throw notAnybodys(name, reason);
  if (name.length <= nameMax && value.length <= valueMax) return value;
  throw new BorealisError(
    sqlState.limitExceeded,
    `a parameter's name has ${nameMax} characters at most, its value ${valueMax}`,
  );
}
