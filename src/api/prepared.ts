import type { ClusterOrder } from "./command-orders.ts";
import type { ResultColumn } from "./result-row.ts";
import type { SqlType, SqlValue } from "./sql-types.ts";
import type { SelectText } from "./evaluation.ts";
import type { Source } from "./tables.ts";

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
  /** Of CommandComplete; the number of rows follows if it is SELECT. Empty: an empty statement. */
  readonly tag: string;
  readonly effect: Effect | undefined;
  readonly rows: RowsOf;
}

type ListRows = (parameters: readonly SqlValue[]) => SqlValue[][];

/** Where a statement's rows come from. */
export type RowsOf =
  /** Known without looking at the cluster, and few. */
  | { readonly kind: "known"; readonly list: ListRows }
  /** `sources`: what must be in the sight. */
  | {
      readonly kind: "select";
      readonly statement: SelectText;
      readonly sources: ReadonlySet<Source>;
    }
  /** What the cluster says of what it has done. */
  | {
      readonly kind: "order";
      readonly orderOf: (parameters: readonly SqlValue[]) => ClusterOrder;
    };

/** One that gives no rows. */
export function commandOf(tag: string, effect?: Effect): Prepared {
  return { parameters: [], columns: null, tag, effect, rows: { kind: "known", list: () => [] } };
}

/** One whose rows are known without looking at the cluster; all text. */
export function textRows(tag: string, names: readonly string[], list: ListRows): Prepared {
  const columns = names.map((name): ResultColumn => ({ name, type: "text" }));
  return { parameters: [], columns, tag, effect: undefined, rows: { kind: "known", list } };
}
