import { BorealisError, sqlState } from "../base/errors.ts";
import type { SqlType } from "./sql-types.ts";
import { errorAt, type ExprRef } from "./syntax.ts";
import type { Table } from "./tables.ts";

/** A table in FROM, under its alias. */
export interface Relation {
  readonly alias: string;
  readonly table: Table;
  /** Its schema as written; a column may be named with it if there is no alias. */
  readonly hasAlias: boolean;
  /** Where its columns begin in the joined row. */
  readonly start: number;
}

export interface ScopeColumn {
  readonly name: string;
  /** Of its table. */
  readonly alias: string;
  readonly type: SqlType;
  /** In the joined row. */
  readonly index: number;
}

/** Which names mean which columns. */
export class Scope {
  readonly relations: Relation[] = [];
  width = 0;

  /** Raises 42712 for a name that is taken. */
  add(table: Table, alias: string | undefined): Relation {
    const name = alias ?? table.name;
    if (this.relations.some((one) => one.alias === name))
      throw new BorealisError(
        sqlState.duplicateAlias,
        `table name "${name}" specified more than once`,
      );
    const hasAlias = alias !== undefined;
    const relation = { alias: name, table, hasAlias, start: this.width };
    this.relations.push(relation);
    this.width += table.columns.length;
    return relation;
  }

  /** Columns of `*` or `alias.*`. Raises 42P01, 42601. */
  star(ref: ExprRef): ScopeColumn[] {
    if (ref.table) return columnsOf(this.relation(ref));
    if (this.relations.length === 0)
      throw errorAt(ref, sqlState.syntaxError, "SELECT * with no tables specified is not valid");
    return this.relations.flatMap(columnsOf);
  }

  /** Raises 42703 with what there is, 42702, 42P01. */
  column(ref: ExprRef): ScopeColumn {
    const name = ref.name.replaceAll('""', '"');
    const own = ref.table ? [this.relation(ref)] : this.relations;
    const found = own.flatMap(columnsOf).filter((one) => one.name === name);
    const [column, other] = found;
    if (other)
      throw errorAt(ref, sqlState.ambiguousColumn, `column reference "${name}" is ambiguous`);
    if (column) return column;
    const written = ref.table ? `${ref.table.name}.${name}` : `"${name}"`;
    const there = own.flatMap(columnsOf).map((one) => one.name);
    throw errorAt(ref, sqlState.undefinedColumn, `column ${written} does not exist`, {
      ...(there.length > 0 && { hint: `There are ${[...new Set(there)].join(", ")}.` }),
    });
  }

  /** Whether any table has a column of that name, as written. */
  has(written: string): boolean {
    const name = written.replaceAll('""', '"');
    return this.relations.flatMap(columnsOf).some((one) => one.name === name);
  }

  /** A column by its name alone, if there is exactly one. */
  find(name: string): ScopeColumn | undefined {
    const found = this.relations.flatMap(columnsOf).filter((one) => one.name === name);
    return found.length === 1 ? found[0] : undefined;
  }

  private relation(ref: ExprRef): Relation {
    const { name = "", schema } = ref.table ?? {};
    const found = this.relations.find(
      (one) => one.alias === name && (schema === undefined || !one.hasAlias),
    );
    if (found) return found;
    throw errorAt(ref, sqlState.undefinedTable, `missing FROM-clause entry for table "${name}"`);
  }
}

function columnsOf({ alias, table, start }: Relation): ScopeColumn[] {
  return table.columns.map(({ name, type }, index) => ({
    name,
    alias,
    type,
    index: start + index,
  }));
}
