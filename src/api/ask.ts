import { BorealisError } from "../base/errors.ts";
import type { ClusterOrder } from "./command-orders.ts";
import { commandFor, type CommandWorld } from "./command.ts";
import type { Outcome, PrepareOrder, RunOrder, SelectText, SessionData } from "./evaluation.ts";
import { type EncodedRows, encodeRows } from "./formats.ts";
import type { Portal } from "./portals.ts";
import type { Prepared } from "./prepared.ts";
import type { ResultColumn } from "./result-row.ts";
import { placed, type StatementText } from "./statement-text.ts";
import type { Source } from "./tables.ts";

/** What the conversation cannot do itself: it goes on when it is given the answer, or thrown an error. */
export type Ask =
  | PrepareOrder
  | (Omit<RunOrder, "sight"> & { readonly sources: ReadonlySet<Source> })
  | CommandAsk
  /** To show what is ready, and to let others have their turn; no answer is expected. */
  | { readonly kind: "turn" };
/** What is asked of the cluster is done, whether or not anybody waits for it. */
export interface CommandAsk {
  readonly kind: "command";
  readonly order: ClusterOrder;
}
export type Answer =
  | Outcome
  /** What a command came to, for people. */
  | { readonly kind: "lines"; readonly lines: readonly string[] }
  | { readonly kind: "turn" };
export type Work<T> = Generator<Ask, T, Answer>;

type SessionWorld = Omit<CommandWorld, "types">;

/** Raises BorealisError with the place in the whole text. */
export function* prepareStatement(
  text: string,
  statement: StatementText,
  world: CommandWorld,
): Work<Prepared> {
  try {
    const command = commandFor(statement, world);
    if (command !== "parse") return command;
    return yield* prepareSelect({ text: statement.text, types: world.types }, world);
  } catch (error) {
    throw error instanceof BorealisError ? placed(error, text, statement.start) : error;
  }
}

function* prepareSelect(statement: SelectText, world: SessionWorld): Work<Prepared> {
  const session = sessionFor(statement, world);
  const answer = yield { kind: "prepare", statement, session };
  if (answer.kind !== "prepared") throw new TypeError("what is prepared has a plan");
  const { columns, parameters, sources } = answer.plan;
  const rows = { kind: "select", statement, sources } as const;
  return { columns, parameters, tag: "SELECT", effect: undefined, rows };
}

/** Settings go along only where they may be asked for: there may be many. */
function sessionFor({ text }: SelectText, { session, settings }: SessionWorld): SessionData {
  const { user, database, pid, version } = session;
  const mayAsk = /current_setting/i.test(text);
  return { user, database, pid, version, settings: mayAsk ? settings.all : [] };
}

export function* rowsOf(
  { prepared, parameters, isBinary }: Portal,
  columns: readonly ResultColumn[],
  world: SessionWorld,
): Work<EncodedRows> {
  const { rows } = prepared;
  if (rows.kind === "known") return encodeRows(rows.list(parameters), columns, isBinary);
  if (rows.kind === "order") {
    const answer = yield { kind: "command", order: rows.orderOf(parameters) };
    if (answer.kind !== "lines") throw new TypeError("a command has lines");
    const lines = answer.lines.map((line) => [line]);
    return encodeRows(lines, columns, isBinary);
  }
  const { statement, sources } = rows;
  const session = sessionFor(statement, world);
  const answer = yield { kind: "run", statement, session, parameters, isBinary, sources };
  if (answer.kind !== "rows") throw new TypeError("what is run has rows");
  return answer.rows;
}
