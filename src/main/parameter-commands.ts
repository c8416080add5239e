import { type ParameterRow, parameterRowsSchema, type ParameterWish } from "../cluster/index.ts";
import type { CommandReport, Workplace } from "./command-report.ts";
import { type Options, printJson, stateOf } from "./commands.ts";
import { ask, tell } from "./control-calls.ts";
import { resolveLayout } from "./data-dir.ts";
import { print, printTable } from "./print.ts";

/** PostgreSQL judges the value, and every instance takes it. */
const setMs = 20_000;

/** Sets one of PostgreSQL's settings, for all instances or for one. Raises what PostgreSQL says of it, and 55P02 for Borealis's. */
export async function parameterSet(
  place: Workplace,
  name: string,
  value: string,
  instance: string | null,
): Promise<CommandReport> {
  const row = (await change(place, { name, value, instance })).find(
    (one) => one.name === name.toLowerCase(),
  );
  const said = row ? `${row.name} is '${row.value}' ${whereOf(instance)}` : `${name} is set`;
  return { document: row ?? null, lines: [said, ...rebootLines(row ? [row] : [])] };
}

/** As if it had not been set; null: all of that scope. Raises 42704 for what is not set. */
export async function parameterReset(
  place: Workplace,
  name: string | null,
  instance: string | null,
): Promise<CommandReport> {
  await change(place, { name, value: null, instance });
  const what = name === null ? "nothing is set" : `${name.toLowerCase()} is not set any more`;
  const line = `${what} ${whereOf(instance)}`;
  return { document: { reset: name, instance }, lines: [line] };
}

/** Shows what is set, and where it waits for a reboot. */
export async function parameterList(options: Options): Promise<void> {
  const layout = resolveLayout(options.dataDir);
  stateOf(layout);
  const rows = parameterRowsSchema.parse(await ask(layout, "parameters"));
  if (options.json) return printJson(rows);
  printTable(
    ["NAME", "VALUE", "SCOPE", "APPLIES", "STATE", "TO REBOOT"],
    rows.map(({ name, value, scope, applyType, state, pending }) => [
      name,
      value,
      scope,
      applyType ?? "",
      state,
      pending.join(", "),
    ]),
  );
  if (rows.length === 0) print("none is set; borealis parameter set NAME VALUE sets one");
}

async function change({ layout }: Workplace, wish: ParameterWish): Promise<ParameterRow[]> {
  stateOf(layout);
  return parameterRowsSchema.parse(await tell(layout, "setParameter", wish, setMs));
}

function whereOf(instance: string | null): string {
  return instance === null ? "for all instances" : `for ${instance}`;
}

function rebootLines(rows: readonly ParameterRow[]): string[] {
  const pending = [...new Set(rows.flatMap((row) => row.pending))];
  return pending.length === 0
    ? []
    : [`it counts once they are rebooted (borealis instance reboot ID): ${pending.join(", ")}`];
}
