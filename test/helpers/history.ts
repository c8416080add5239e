/**
 * What clients asked for and what they were told: written down as it happens, judged afterwards (history-checks.ts). Times are
 * milliseconds of one monotonic clock, that of the process that asks.
 */

/** "ok"; "running"; "closed", the connection ended without an answer; or the SQLSTATE that was told. */
export type Outcome = string;

/** A COMMIT that answers ROLLBACK has committed nothing, and says so without an SQLSTATE. */
export const rolledBack = "ROLLBACK";
export const outcomeUnknown = "08007";

/**
 * What makes a write permanent: a COMMIT that is a message of its own, its statement by itself, or the end of a Query of
 * several statements.
 */
export type CommitForm = "own" | "alone" | "several";

interface Attempt {
  readonly session: number;
  readonly form: CommitForm;
  readonly startMs: number;
  /** When what commits it was sent; undefined: it was not, and nothing of it can have happened. */
  commitMs: number | undefined;
  /** When its outcome was known; 0 while it is running. */
  endMs: number;
  outcome: Outcome;
  /** Of an error: its words. */
  said?: string;
}

/** Rows that are there together or not at all. A row's number is nobody else's. */
export interface Append extends Attempt {
  readonly kind: "append";
  readonly rows: readonly number[];
}

/** `amount` from one account to another, and one row that says so. */
export interface Transfer extends Attempt {
  readonly kind: "transfer";
  readonly row: number;
  readonly from: number;
  readonly to: number;
  readonly amount: number;
}

/** UPDATE ... SET value = `value` WHERE value = `expected`. A value is written by one attempt only. */
export interface Exchange extends Attempt {
  readonly kind: "exchange";
  readonly key: number;
  readonly expected: number;
  readonly value: number;
  /** Of an answered one: whether a row was found. */
  hasMatched: boolean;
}

export type Write = Append | Transfer | Exchange;

/** All that one statement saw: one snapshot of one PostgreSQL. */
export interface View {
  readonly endpoint: string;
  /** One start of one PostgreSQL, for as long as it runs. */
  readonly life: string;
  readonly startMs: number;
  readonly endMs: number;
  /** By key, which counts from 1. */
  readonly registers: readonly number[];
  readonly total: number;
  /** The highest place that an appended row has; rows are never deleted. */
  readonly lastPlace: number;
}

/** One row looked for where it must be once it was acknowledged: how often it is there. */
export interface Look {
  readonly row: number;
  /** The writer; or, of a row that its own session wrote, where that reads. */
  readonly by: string;
  readonly startMs: number;
  readonly endMs: number;
  readonly count: number;
}

/** What is there at the end, when nobody writes. */
export interface Final {
  /** How often each row is there. */
  readonly appended: ReadonlyMap<number, number>;
  readonly transferred: ReadonlyMap<number, number>;
  readonly balances: ReadonlyMap<number, number>;
  readonly registers: ReadonlyMap<number, number>;
}

export class History {
  readonly writes: Write[] = [];
  readonly views: View[] = [];
  readonly looks: Look[] = [];
  /** Rows of `appended` and `transferred` that were shown to anybody: where, and when, it was first. */
  readonly shown = new Map<number, { readonly endpoint: string; readonly atMs: number }>();
  /** How connecting ended, where it failed. */
  readonly refusedConnections = new Map<Outcome, number>();
  /** Reads that had no answer. */
  readonly failedReads = new Map<Outcome, number>();

  begin<W extends Write>(write: W): W {
    this.writes.push(write);
    return write;
  }

  show(rows: readonly number[], endpoint: string, atMs: number): void {
    for (const row of rows) if (!this.shown.has(row)) this.shown.set(row, { endpoint, atMs });
  }
}

export function count<K>(counts: Map<K, number>, key: K): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}

/** Map.groupBy, which Node 20 has not. */
export function grouped<T, K>(items: readonly T[], keyOf: (item: T) => K): Map<K, T[]> {
  const groups = new Map<K, T[]>();
  for (const item of items) {
    const group = groups.get(keyOf(item));
    if (group) group.push(item);
    else groups.set(keyOf(item), [item]);
  }
  return groups;
}

/** SQLSTATEs of which PostgreSQL or the endpoint promises that nothing was committed. */
const refusals = new Set([
  rolledBack,
  "25P02", // its transaction had failed before
  "40001",
  "40P01",
  "53300",
  "57P01", // the session ended, and no commit was under way
  "57P03", // no instance within hold_timeout
]);

export type Fate = "done" | "undone" | "open";

/** What the answer says of a write; "open" where it leaves that open. */
export function fateOf(write: Write): Fate {
  if (write.outcome === "ok")
    return write.kind === "exchange" && !write.hasMatched ? "undone" : "done";
  if (write.commitMs === undefined || refusals.has(write.outcome)) return "undone";
  return "open";
}

/** Whether the contract knows this outcome. */
export function isExpected(outcome: Outcome): boolean {
  return ["ok", "closed", outcomeUnknown].includes(outcome) || refusals.has(outcome);
}

/** The rows that a write leaves where such rows are counted. */
export function rowsOf(write: Append | Transfer): readonly number[] {
  return write.kind === "append" ? write.rows : [write.row];
}
