import type { ResultColumn } from "./result-row.ts";
import type { SqlType, SqlValue } from "./sql-types.ts";
import type { Sight, Source } from "./tables.ts";

/** What a statement does to its connection. */
export type Effect =
  /** rewind: to a savepoint; the transaction goes on. */
  | { readonly kind: "begin" | "commit" | "rollback" | "rewind" | "discard" }
  | { readonly kind: "set"; readonly name: string; readonly value: string }
  /** Null: all. */
  | { readonly kind: "reset" | "deallocate"; readonly name: string | null };

/** A statement that can be run any number of times. */
export interface Prepared {
  /** Null: it gives no rows. */
  readonly columns: readonly ResultColumn[] | null;
  readonly parameters: readonly SqlType[];
  /** What must be in the sight. */
  readonly sources: ReadonlySet<Source>;
  /** Of CommandComplete; the number of rows follows if it is SELECT. Empty: an empty statement. */
  readonly tag: string;
  readonly effect: Effect | undefined;
  readonly run: (sight: Sight, parameters: readonly SqlValue[]) => SqlValue[][];
}

const nothing = { parameters: [], sources: new Set<Source>() };

/** One that gives no rows. */
export function commandOf(tag: string, effect?: Effect): Prepared {
  return { ...nothing, columns: null, tag, effect, run: () => [] };
}

/** One whose rows are known without looking at the cluster; all text. */
export function textRows(tag: string, names: readonly string[], run: () => SqlValue[][]): Prepared {
  const columns = names.map((name): ResultColumn => ({ name, type: "text" }));
  return { ...nothing, columns, tag, effect: undefined, run };
}
