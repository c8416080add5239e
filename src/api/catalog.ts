import { BorealisError, sqlState } from "../base/errors.ts";
import { isAggregate } from "./aggregates.ts";
import type { SessionFacts } from "./functions.ts";
import { matchesPattern } from "./like.ts";
import { requireColumnsFit, requireParameter } from "./limits.ts";
import { type Prepared, textRows } from "./prepared.ts";
import { type SqlType, typeFacts } from "./sql-types.ts";
import { plainText, type Token } from "./statement-text.ts";
import { tables, tableSchema } from "./tables.ts";

/**
 * What psql asks of PostgreSQL's catalogs for \l, \dt, \d, \dn and \du. Its queries differ by version, and use what the
 * parser does not know; so they are told by what they read, and each result column by its name. What is not understood
 * whole has no rows: a condition that was passed over would show what is not so.
 */

/** Whether a query reads a catalog. */
export function readsCatalog(tokens: readonly Token[]): boolean {
  return tokens.some(({ kind, text }, index) => {
    if (kind !== "word" || (text !== "from" && text !== "join")) return false;
    const name = tokens[index + 1];
    const isCall = tokens[index + 2]?.text === "(" || tokens[index + 4]?.text === "(";
    return name?.kind === "word" && isCatalogName(name.text) && !isCall;
  });
}

function isCatalogName(name: string): boolean {
  return name.startsWith("pg_") || name === "information_schema";
}

/** `types`: of parameters, as the client declared them. */
export function answerCatalog(
  tokens: readonly Token[],
  session: SessionFacts,
  types: readonly (SqlType | undefined)[],
): Prepared {
  const query = outline(tokens);
  requireColumnsFit(query.items.length);
  // No rows would be an answer here, and a wrong one.
  if (query.items.some(isAggregateCall))
    throw new BorealisError(
      sqlState.notSupported,
      "aggregates over PostgreSQL's catalogs are not supported in the admin database",
    );
  const names = query.items.map(nameOf);
  const answer = textRows("SELECT", names, () => {
    const rows = query.isPlain ? rowsOf(query, session) : [];
    return rows.map((row) => names.map((name) => row.get(name.toLowerCase()) ?? null));
  });
  return { ...answer, parameters: parametersOf(tokens, types) };
}

/** No condition with a parameter is understood; their number is. */
function parametersOf(
  tokens: readonly Token[],
  types: readonly (SqlType | undefined)[],
): SqlType[] {
  let length = types.length;
  for (const { kind, text } of tokens) {
    if (kind !== "parameter") continue;
    const number = +text.slice(1);
    requireParameter(number);
    length = Math.max(length, number);
  }
  return Array.from({ length }, (_, index) => types[index] ?? "text");
}

/** At the level of the list itself. */
function isAggregateCall(item: readonly Token[]): boolean {
  const [first, dot] = item;
  const call = first?.text === "pg_catalog" && dot?.text === "." ? item.slice(2) : item;
  return call[1]?.text === "(" && isAggregate(call[0]?.text ?? "");
}

interface Outline {
  /** The list of results. */
  readonly items: readonly (readonly Token[])[];
  /** Relations in FROM, without their schema. */
  readonly relations: readonly string[];
  /** Conditions, as words with single spaces. */
  readonly conditions: readonly string[];
  /** One SELECT, without groups and limits. */
  readonly isPlain: boolean;
}

/** Words that end a clause, at the level of the query itself. */
const clauses = new Set(
  "from where group having order limit offset fetch union intersect except window".split(" "),
);

function outline(tokens: readonly Token[]): Outline {
  const parts = new Map<string, Token[]>([["select", []]]);
  let clause = "select";
  // Behind WITH the query itself is the first that stands in no brackets.
  const start = topLevelSelect(tokens);
  let isPlain = start === 0;
  let depth = 0;
  for (const token of tokens.slice(start + 1)) {
    if (token.text === "(") depth++;
    else if (token.text === ")") depth--;
    else if (depth === 0 && token.kind === "word" && clauses.has(token.text)) {
      // Of a UNION the first SELECT names the columns.
      if (parts.has(token.text)) break;
      clause = token.text;
      if (clause !== "from" && clause !== "where" && clause !== "order") isPlain = false;
    }
    const part = parts.get(clause) ?? [];
    parts.set(clause, part);
    part.push(token);
  }
  const from = parts.get("from")?.slice(1) ?? [];
  return {
    items: split(parts.get("select") ?? [], ","),
    relations: relationsOf(from),
    conditions: split(parts.get("where")?.slice(1) ?? [], "and").map((words) =>
      words.map(({ text }) => text).join(" "),
    ),
    isPlain,
  };
}

function topLevelSelect(tokens: readonly Token[]): number {
  let depth = 0;
  const found = tokens.findIndex(({ text }) => {
    if (text === "(") depth++;
    else if (text === ")") depth--;
    return depth === 0 && text === "select";
  });
  return Math.max(found, 0);
}

/** At the level of the list itself; nothing of nothing. */
function split(tokens: readonly Token[], by: string): Token[][] {
  const parts: Token[][] = tokens.length > 0 ? [[]] : [];
  let depth = 0;
  for (const token of tokens) {
    if (token.text === "(") depth++;
    else if (token.text === ")") depth--;
    if (depth === 0 && token.text === by) parts.push([]);
    else parts.at(-1)?.push(token);
  }
  return parts;
}

function relationsOf(from: readonly Token[]): string[] {
  const names: string[] = [];
  let depth = 0;
  let isNext = true;
  for (const [index, { kind, text }] of from.entries()) {
    if (text === "(") depth++;
    else if (text === ")") depth--;
    else if (depth > 0) continue;
    else if (text === "join" || text === ",") isNext = true;
    else if (isNext && kind === "word" && from[index + 1]?.text !== ".") {
      names.push(text);
      isNext = false;
    }
  }
  return names;
}

/** As PostgreSQL names a result column. */
function nameOf(item: readonly Token[]): string {
  const as = item.findLastIndex(({ text }) => text === "as");
  const last = item.at(-1);
  const isOutside = item.slice(as + 1).every(({ text }) => text !== ")");
  if (as >= 0 && isOutside && last) return plainText(last);
  if (item[0]?.text === "case") return "case";
  if (item[0]?.text === "array") return "array";
  // A cast keeps the name; a call has its function's.
  const cast = item.findIndex(({ text }, at) => text === ":" && item[at + 1]?.text === ":");
  const own = cast > 0 ? item.slice(0, cast) : item;
  const call = own.findIndex(({ text }) => text === "(");
  const named = call < 0 ? own.at(-1) : own[call - 1];
  const isName = named?.kind === "word" || named?.kind === "quoted";
  return named && isName && named.text !== "null" ? plainText(named) : "?column?";
}

type CatalogRow = ReadonlyMap<string, string>;

interface Catalog {
  /** What may be joined to it without a change to which rows there are. */
  readonly joined: ReadonlySet<string>;
  readonly rows: (session: SessionFacts) => CatalogRow[];
}

const firstOid = 20_001;

const catalogs = new Map<string, Catalog>([
  [
    "pg_database",
    {
      joined: new Set(["pg_tablespace"]),
      rows: ({ user, database }) => [
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
      ],
    },
  ],
  [
    "pg_namespace",
    {
      joined: new Set(),
      rows: ({ user }) => [
        rowOf({
          name: tableSchema,
          nspname: tableSchema,
          owner: user,
          description: "the cluster, as tables",
        }),
      ],
    },
  ],
  [
    "pg_roles",
    {
      joined: new Set(),
      rows: ({ user }) => [
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
      ],
    },
  ],
  ["pg_class", { joined: new Set(["pg_namespace", "pg_am", "pg_class"]), rows: classRows }],
  ["pg_attribute", { joined: new Set(), rows: attributeRows }],
]);

function rowOf(values: Readonly<Record<string, string>>): CatalogRow {
  return new Map(Object.entries(values));
}

function classRows({ user }: SessionFacts): CatalogRow[] {
  return tables.map(({ name, about }, index) =>
    rowOf({
      oid: String(firstOid + index),
      schema: tableSchema,
      nspname: tableSchema,
      name,
      relname: name,
      type: "table",
      owner: user,
      persistence: "permanent",
      description: about,
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
  return tables.flatMap(({ columns }, index) =>
    columns.map(({ name, type, about }) =>
      rowOf({
        attrelid: String(firstOid + index),
        attname: name,
        format_type: typeFacts(type).spelled,
        attnotnull: "f",
        attidentity: "",
        attgenerated: "",
        attstorage: typeFacts(type).sizeBytes < 0 ? "x" : "p",
        attcompression: "",
        col_description: about,
      }),
    ),
  );
}

function rowsOf({ relations, conditions }: Outline, session: SessionFacts): CatalogRow[] {
  const [main = "", ...joined] = relations;
  const catalog = catalogs.get(main);
  if (!catalog || joined.some((name) => !catalog.joined.has(name))) return [];
  const tests = conditions.map(testOf);
  if (tests.includes(undefined)) return [];
  return catalog.rows(session).filter((row) => tests.every((test) => test?.(row) === true));
}

type Test = (row: CatalogRow) => boolean;

/** Conditions that hold of all that there is here: none of it is the system's, hidden or dropped. */
const always = [
  /^(?:\w+ \. )?(?:nspname|rolname|relname|datname) (?:<>|< >|!~|! ~) '(?:\^?pg_\w*|information_schema)'$/,
  /^pg_catalog \. pg_table_is_visible \( \w+ \. oid \)$/,
  /^(?:\w+ \. )?attnum > '?0'?$/,
  /^not (?:\w+ \. )?attisdropped$/,
];

/** Undefined: it is not understood. */
function testOf(condition: string): Test | undefined {
  if (always.some((one) => one.test(condition))) return () => true;
  const equal = /^(?:\w+ \. )?(oid|attrelid) = '(\d+)'$/.exec(condition);
  if (equal) return (row) => row.get(equal[1] ?? "") === equal[2];
  const kinds = /^(?:\w+ \. )?relkind in \( ([^()]*) \)$/.exec(condition)?.[1];
  if (kinds !== undefined) return (row) => kinds.includes(`'${row.get("relkind")}'`);
  const like =
    /^(?:\w+ \. )?(nspname|relname|rolname|datname) (?:operator \( pg_catalog \. ~ \)|~) '\^\((.*)\)\$'(?: collate pg_catalog \. default)?$/.exec(
      condition,
    );
  const pattern = like?.[2];
  // psql's own patterns have `.*` for a star, `.` for a question mark, and names; what else there may be is not read.
  if (pattern === undefined || !/^(?:[\w-]|\.\*?)*$/.test(pattern)) return undefined;
  const wildcards = pattern
    .replaceAll("_", String.raw`\_`)
    .replaceAll(".*", "%")
    .replaceAll(".", "_");
  return (row) => matchesPattern(row.get(like?.[1] ?? "") ?? "", wildcards, false);
}
