import { BorealisError, sqlState } from "../base/errors.ts";
import { dial, realClock, realRng, retry } from "../io/index.ts";
import { type StatusReport, whyNobody } from "../cluster/index.ts";
import { type Options, printJson, readReport, requireCluster } from "./commands.ts";
import { tell } from "./control-calls.ts";
import { print, printTable } from "./print.ts";
import { reachableHost } from "./urls.ts";

export interface EndpointOptions extends Options {
  readonly type?: string;
  readonly static?: string;
  readonly exclude?: string;
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
export async function endpointCreate(id: string, options: EndpointOptions): Promise<void> {
  const { layout } = requireCluster(options);
  await tell(layout, "createEndpoint", wishOf(id, options));
  const { row, where } = await seeEndpoint(id, options);
  const address = `${reachableHost(row.host)}:${row.port}`;
  await untilOpen(row, address);
  if (options.json) printJson(row);
  else print(`${id} listens at ${address}; new sessions ${where}`);
}

/** Changes its type or its list; sessions that are there stay where they are. */
export async function endpointModify(id: string, options: EndpointOptions): Promise<void> {
  const { layout } = requireCluster(options);
  await tell(layout, "modifyEndpoint", wishOf(id, options));
  const { row, where } = await seeEndpoint(id, options);
  if (options.json) printJson(row);
  else print(`new sessions of ${id} ${where}`);
}

/** Ends an endpoint, and the sessions that came in there. */
export async function endpointDelete(id: string, options: Options): Promise<void> {
  const { layout } = requireCluster(options);
  await tell(layout, "deleteEndpoint", { id });
  if (options.json) printJson({ deleted: id });
  else print(`${id} is deleted`);
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
  options: Options,
): Promise<{ row: EndpointRow; where: string }> {
  const report = await readReport(options);
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

/** As endpointWishSchema has it. Raises 22023 for what the options do not take. */
function wishOf(id: string, options: EndpointOptions): unknown {
  const { type = null } = options;
  if (type !== null && type !== "reader" && type !== "any") {
    throw new BorealisError(
      sqlState.invalidParameter,
      `--type takes reader or any, not "${type}"`,
      {
        hint: "reader: readers only; any: the writer, too",
      },
    );
  }
  const { static: only, exclude } = options;
  if (only !== undefined && exclude !== undefined) {
    throw new BorealisError(
      sqlState.invalidParameter,
      "--static and --exclude cannot be combined",
      {
        hint: "name who is in, or who is not",
      },
    );
  }
  if (only !== undefined) return { id, type, list: { kind: "static", instances: names(only) } };
  const list = exclude === undefined ? null : { kind: "exclude", instances: names(exclude) };
  return { id, type, list };
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
