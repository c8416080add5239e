import { type Relation, subquery } from "./catalog-outline.ts";
import type { SessionFacts } from "./functions.ts";
import { type SqlType, sqlTypes, typeFacts } from "./sql-types.ts";
import { tables, tableSchema } from "./tables.ts";

/** By a result column's name, in lower case. */
export type CatalogRow = ReadonlyMap<string, string>;

interface Catalog {
  /** What may be joined to it without a change to which rows there are. */
  readonly joined: readonly string[];
  /** Likewise by LEFT JOIN. */
  readonly optional?: readonly string[];
  readonly rows: (session: SessionFacts) => CatalogRow[];
}

const firstOid = 20_001;

const catalogs = new Map<string, Catalog>([
  ["pg_database", { joined: ["pg_tablespace"], rows: databaseRows }],
  ["pg_namespace", { joined: [], rows: schemaRows }],
  ["pg_roles", { joined: [], rows: roleRows }],
  [
    "pg_class",
    {
      joined: ["pg_namespace", "pg_am", "pg_class"],
      optional: ["pg_description"],
      rows: classRows,
    },
  ],
  [
    "pg_attribute",
    {
      joined: ["pg_namespace", "pg_class", "pg_type"],
      optional: ["pg_attrdef", "pg_description"],
      rows: attributeRows,
    },
  ],
  ["pg_type", { joined: ["pg_namespace"], optional: [subquery], rows: typeRows }],
]);

/** One row of these for each of the others': where a query begins with one, it is of those that are many. */
const manyOf: readonly (readonly [string, readonly string[]])[] = [
  ["pg_namespace", ["pg_attribute", "pg_class"]],
];

/** Undefined: not understood. */
export function catalogRows(
  relations: readonly Relation[],
  session: SessionFacts,
): CatalogRow[] | undefined {
  const [first] = relations;
  const many = manyOf.find(([name]) => name === first?.name)?.[1] ?? [];
  const mains = many.flatMap((name) =>
    relations.filter((one) => one.name === name && !one.isOptional),
  );
  const main = mains[0] ?? first;
  const catalog = catalogs.get(main?.name ?? "");
  if (!catalog) return undefined;
  const { joined, optional = [] } = catalog;
  const isFree = ({ name, isOptional }: Relation): boolean =>
    joined.includes(name) || (isOptional && optional.includes(name));
  return relations.every((one) => one === main || isFree(one)) ? catalog.rows(session) : undefined;
}

function rowOf(values: Readonly<Record<string, string>>): CatalogRow {
  return new Map(Object.entries(values));
}

function databaseRows({ user, database }: SessionFacts): CatalogRow[] {
  return [
    rowOf({
      name: database,
      datname: database,
      owner: user,
      encoding: "UTF8",
      collate: "C",
      ctype: "C",
      "locale provider": "libc",
      description: "the cluster itself, as tables; PostgreSQL's databases are not listed here",
    }),
  ];
}

function schemaRows({ user }: SessionFacts): CatalogRow[] {
  return [
    rowOf({
      name: tableSchema,
      nspname: tableSchema,
      table_schem: tableSchema,
      owner: user,
      description: "the cluster, as tables",
    }),
  ];
}

function roleRows({ user }: SessionFacts): CatalogRow[] {
  return [
    rowOf({
      rolname: user,
      rolsuper: "f",
      rolinherit: "t",
      rolcreaterole: "f",
      rolcreatedb: "f",
      rolcanlogin: "t",
      rolreplication: "f",
      rolbypassrls: "f",
      rolconnlimit: "-1",
      memberof: "{}",
    }),
  ];
}

function classRows({ user }: SessionFacts): CatalogRow[] {
  return tables.map(({ name, about }, index) =>
    rowOf({
      oid: String(firstOid + index),
      schema: tableSchema,
      nspname: tableSchema,
      table_schem: tableSchema,
      name,
      relname: name,
      table_name: name,
      type: "table",
      table_type: "TABLE",
      owner: user,
      persistence: "permanent",
      description: about,
      remarks: about,
      relkind: "r",
      relchecks: "0",
      relhasindex: "f",
      relhasrules: "f",
      relhastriggers: "f",
      relrowsecurity: "f",
      relforcerowsecurity: "f",
      relhasoids: "f",
      relispartition: "f",
      reltablespace: "0",
      relpersistence: "p",
      relreplident: "d",
      case: "",
      "?column?": "",
    }),
  );
}

function attributeRows(): CatalogRow[] {
  return tables.flatMap(({ name: relname, columns }, index) =>
    columns.map(({ name, type, about }, column) => {
      const { oid, sizeBytes, spelled } = typeFacts(type);
      return rowOf({
        nspname: tableSchema,
        relname,
        relkind: "r",
        attrelid: String(firstOid + index),
        attname: name,
        attnum: String(column + 1),
        atttypid: String(oid),
        typname: namesOf(type).typname,
        atttypmod: "-1",
        attlen: String(sizeBytes),
        format_type: spelled,
        attnotnull: "f",
        attidentity: "",
        attgenerated: "",
        attstorage: sizeBytes < 0 ? "x" : "p",
        attcompression: "",
        col_description: about,
        description: about,
        typtypmod: "-1",
        typbasetype: "0",
        typtype: "b",
      });
    }),
  );
}

/** Drivers ask about types that they do not know themselves, in whatever they are. */
function typeRows(): CatalogRow[] {
  const own = sqlTypes.map((type) => {
    const { oid, sizeBytes } = typeFacts(type);
    return { oid, sizeBytes, ...namesOf(type) };
  });
  // Of PostgreSQL's own names: how long they may be.
  const name = { oid: 19, sizeBytes: 64, typname: "name", isArray: false };
  return [...own, name].map(({ oid, sizeBytes, typname, isArray }) =>
    rowOf({
      oid: String(oid),
      typname,
      typlen: String(sizeBytes),
      typtype: "b",
      nspname: "pg_catalog",
      is_array: isArray ? "t" : "f",
      typdelim: ",",
      // Whether its schema is one of the path's.
      any: "t",
    }),
  );
}

function namesOf(type: SqlType): { typname: string; isArray: boolean } {
  const isArray = type.endsWith("[]");
  return { typname: isArray ? `_${type.slice(0, -2)}` : type, isArray };
}
