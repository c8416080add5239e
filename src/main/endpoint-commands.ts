import { BorealisError, sqlState } from "../base/errors.ts";
import { dial, realClock, realRng, retry } from "../io/index.ts";
import { type Layout, type StatusReport, whyNobody } from "../cluster/index.ts";
import type { CommandReport, Workplace } from "./command-report.ts";
import { type Options, printJson, readReport, reportOf, stateOf } from "./commands.ts";
import { tell } from "./control-calls.ts";
import { print, printTable } from "./print.ts";
import { reachableHost } from "./urls.ts";

/** As people say it; lists with commas. */
export interface EndpointOptions {
  readonly type?: string;
  readonly static?: string;
  readonly exclude?: string;
}

/** Undefined: not said. */
export interface EndpointWish {
  readonly type?: string | undefined;
  readonly list?: EndpointList | undefined;
}

export interface EndpointList {
  readonly kind: "static" | "exclude";
  readonly instances: readonly string[];
}

/** A custom endpoint, as --json prints it. */
interface EndpointRow {
  readonly id: string;
  readonly type: "reader" | "any";
  readonly host: string;
  readonly port: number;
  /** One of the two at most is not null. */
  readonly static: readonly string[] | null;
  readonly excluded: readonly string[] | null;
  /** To whom new sessions go now. */
  readonly members: readonly string[];
}

/** The proxy opens it at once, as a rule. */
const openDeadlineMs = 10_000;

/** Creates a custom endpoint; returns when it listens. */
export async function endpointCreate(
  { layout }: Workplace,
  id: string,
  wish: EndpointWish,
): Promise<CommandReport> {
  stateOf(layout);
  await tell(layout, "createEndpoint", asked(id, wish));
  const { row, where } = await seeEndpoint(id, layout);
  const address = `${reachableHost(row.host)}:${row.port}`;
  await untilOpen(row, address);
  return { document: row, lines: [`${id} listens at ${address}; new sessions ${where}`] };
}

/** Changes its type or its list; sessions that are there stay where they are. */
export async function endpointModify(
  { layout }: Workplace,
  id: string,
  wish: EndpointWish,
): Promise<CommandReport> {
  stateOf(layout);
  await tell(layout, "modifyEndpoint", asked(id, wish));
  const { row, where } = await seeEndpoint(id, layout);
  return { document: row, lines: [`new sessions of ${id} ${where}`] };
}

/** Ends an endpoint, and the sessions that came in there. */
export async function endpointDelete({ layout }: Workplace, id: string): Promise<CommandReport> {
  stateOf(layout);
  await tell(layout, "deleteEndpoint", { id });
  return { document: { deleted: id }, lines: [`${id} is deleted`] };
}

/** Shows the custom endpoints, also of a cluster that is down. */
export async function endpointList(options: Options): Promise<void> {
  const rows = customRows(await readReport(options));
  if (options.json) return printJson(rows);
  if (rows.length === 0) return print("there are none; borealis endpoint create makes one");
  printTable(
    ["ENDPOINT", "TYPE", "ADDRESS", "INSTANCES", "MEMBERS NOW"],
    rows.map((row) => [
      row.id,
      row.type,
      `${row.host}:${row.port}`,
      whomItNames(row),
      row.members.join(",") || "-",
    ]),
  );
}

function customRows({ endpoints }: StatusReport): EndpointRow[] {
  return endpoints.flatMap(({ id, host, port, members, custom }) =>
    custom ? [{ id, host, port, members, ...custom }] : [],
  );
}

/** `where`: what new sessions do, for people. */
async function seeEndpoint(
  id: string,
  layout: Layout,
): Promise<{ row: EndpointRow; where: string }> {
  const report = await reportOf(layout);
  const row = customRows(report).find((one) => one.id === id);
  if (row) return { row, where: whereTo(row, report) };
  throw new BorealisError(sqlState.notInPrerequisiteState, `${id} was deleted meanwhile`, {
    hint: "borealis endpoint list shows which there are",
  });
}

function whomItNames(row: EndpointRow): string {
  if (row.static) return row.static.join(",") || "-";
  return row.excluded ? `all but ${row.excluded.join(",")}` : "all";
}

function whereTo(
  { type, static: only, excluded, members }: EndpointRow,
  { instances }: StatusReport,
): string {
  if (members.length > 0) return `go to ${members.join(", ")}`;
  const ids = only ?? instances.map(({ id }) => id).filter((id) => !excluded?.includes(id));
  const seen = instances.map(({ id, role, state }) => {
    return { id, role, isAdmitted: state === "available" };
  });
  return `wait: ${whyNobody({ type, members: ids }, seen)}`;
}

/** As endpointWishSchema has it. */
function asked(id: string, { type, list }: EndpointWish): unknown {
  return { id, type: type ?? null, list: list ?? null };
}

/** Raises 22023 for what the options do not take. */
export function endpointWish(options: EndpointOptions): EndpointWish {
  const { type, static: only, exclude } = options;
  if (type !== undefined && type !== "reader" && type !== "any") {
    throw new BorealisError(
      sqlState.invalidParameter,
      `--type takes reader or any, not "${type}"`,
      {
        hint: "reader: readers only; any: the writer, too",
      },
    );
  }
  if (only !== undefined && exclude !== undefined) {
    throw new BorealisError(
      sqlState.invalidParameter,
      "--static and --exclude cannot be combined",
      {
        hint: "name who is in, or who is not",
      },
    );
  }
  if (only !== undefined) return { type, list: { kind: "static", instances: names(only) } };
  if (exclude === undefined) return { type };
  return { type, list: { kind: "exclude", instances: names(exclude) } };
}

function names(text: string): string[] {
  return text
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "");
}

async function untilOpen({ id, host, port }: EndpointRow, address: string): Promise<void> {
  const bounds = { clock: realClock, rng: realRng, firstDelayMs: 10, maxDelayMs: 200 };
  try {
    await retry({ ...bounds, deadlineMs: openDeadlineMs }, async () => {
      (await dial({ kind: "tcp", host: reachableHost(host), port })).destroy();
    });
  } catch (cause) {
    throw new BorealisError(
      sqlState.cannotConnectNow,
      `${id} is created, but nobody listens at ${address} yet`,
      { hint: "borealis logs proxy says why; it is tried again by itself", cause },
    );
  }
}
