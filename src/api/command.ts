import { BorealisError, sqlState } from "../base/errors.ts";
import { findOrder, type OrderStatement } from "./command-orders.ts";
import { answerCatalog, readsCatalog } from "./catalog.ts";
import type { SessionFacts } from "./functions.ts";
import { commandOf, type Effect, type Prepared, textRows } from "./prepared.ts";
import { compileSelect, type Query } from "./select.ts";
import type { Settings } from "./settings.ts";
import type { SqlType } from "./sql-types.ts";
import { plainText, type StatementText, type Token } from "./statement-text.ts";
import type { Statement } from "./syntax.ts";
import { errorAt } from "./syntax.ts";
import { findTable, tables, tableSchema } from "./tables.ts";
import { Parameters } from "./term.ts";

export interface CommandWorld {
  readonly session: SessionFacts;
  readonly settings: Settings;
  /** Of parameters, as the client declared them. */
  readonly types: readonly (SqlType | undefined)[];
}

/** Statements that PostgreSQL has and this database has not. */
const refused = new Set(
  (
    "insert update delete merge truncate create alter drop copy call do grant revoke comment vacuum analyze cluster " +
    "reindex refresh lock listen notify explain prepare execute declare fetch move import security reassign checkpoint load values table with"
  ).split(" "),
);

/**
 * What a statement is, by its first words. `parse`: it has to be parsed, then compileParsed goes on. Raises BorealisError for
 * what is not supported, and for what is no statement.
 */
export function commandFor(statement: StatementText, world: CommandWorld): Prepared | "parse" {
  const { tokens } = statement;
  const [first, second] = tokens;
  if (!first) return commandOf("");
  const order = findOrder(tokens);
  if (order) return ordering(order, world.types);
  switch (first.text) {
    case "select":
      return readsCatalog(tokens) ? answerCatalog(tokens, world.session, world.types) : "parse";
    case "with":
    case "(":
      if (readsCatalog(tokens)) return answerCatalog(tokens, world.session, world.types);
      break;
    case "show":
      return show(tokens.slice(1), world);
    case "set":
      return set(tokens.slice(1));
    case "reset":
      return commandOf("RESET", { kind: "reset", name: nameOrAll(tokens.slice(1)) });
    case "discard":
      return discard(tokens);
    case "deallocate": {
      const rest = tokens.slice(second?.text === "prepare" ? 2 : 1);
      return commandOf("DEALLOCATE", { kind: "deallocate", name: nameOrAll(rest) });
    }
    case "unlisten":
      return commandOf("UNLISTEN");
    case "close":
      return commandOf("CLOSE CURSOR");
    default: {
      const transaction = transactionCommand(tokens);
      if (transaction) return transaction;
    }
  }
  throw refusal(first);
}

/** Its rows are what the command line prints. */
function ordering(
  { tag, parameterCount, orderOf }: OrderStatement,
  types: CommandWorld["types"],
): Prepared {
  const parameters = new Parameters(types);
  parameters.typeOf(parameterCount);
  const columns = [{ name: "result", type: "text" }] as const;
  const rows = { kind: "order", orderOf } as const;
  return { tag, columns, parameters: parameters.settled, effect: undefined, rows };
}

function refusal(first: Token): BorealisError {
  const position = first.start + 1;
  if (first.kind === "word" && refused.has(first.text))
    return new BorealisError(
      sqlState.notSupported,
      `${first.text.toUpperCase()} is not supported in the admin database`,
      {
        position,
        hint: "It takes SHOW, SELECT and commands to the cluster. Data is in the other databases.",
      },
    );
  return new BorealisError(sqlState.syntaxError, `syntax error at or near "${first.text}"`, {
    position,
    hint: "The admin database takes SHOW, SELECT and the commands that its documentation lists.",
  });
}

/** What the parser made of a statement. `types`: of parameters, as the client declared them. */
export function compileParsed(
  statement: Pick<StatementText, "text">,
  parsed: readonly Statement[],
  { session, types }: { session: SessionFacts; types: readonly (SqlType | undefined)[] },
): Query & Pick<Prepared, "parameters"> {
  const [tree, ...more] = parsed;
  if (!tree || more.length > 0)
    throw new BorealisError(sqlState.syntaxError, "one statement is expected here");
  if (tree.type !== "select")
    throw errorAt(tree, sqlState.notSupported, `${tree.type.toUpperCase()} is not supported here`);
  const parameters = new Parameters(types);
  const query = compileSelect(tree, { parameters, session, text: statement.text });
  return { ...query, parameters: parameters.settled };
}

function show(rest: readonly Token[], { settings }: CommandWorld): Prepared {
  const name = wordsOf(rest);
  const table = rest.length === 1 ? findTable(name) : undefined;
  if (table) {
    const { columns, source } = table;
    const statement = { text: `SELECT * FROM ${tableSchema}.${table.name}`, types: [] };
    const rows = { kind: "select", statement, sources: new Set([source]) } as const;
    return { columns, parameters: [], tag: "SHOW", effect: undefined, rows };
  }
  if (name === "all")
    return textRows("SHOW", ["name", "setting"], () =>
      settings.all.map(({ name: own, value }) => [own, value]),
    );
  if (settings.get(name) !== undefined)
    return textRows("SHOW", [columnOfSetting(name)], () => [[settings.get(name) ?? null]]);
  const there = tables.map((one) => one.name.toUpperCase()).join(", ");
  const [first] = rest;
  throw new BorealisError(
    first ? sqlState.undefinedObject : sqlState.syntaxError,
    first ? `unrecognized configuration parameter "${name}"` : "syntax error at end of input",
    { hint: `SHOW takes ${there}, or a setting.`, ...(first && { position: first.start + 1 }) },
  );
}

function columnOfSetting(name: string): string {
  const spelled: Readonly<Record<string, string>> = {
    "time zone": "TimeZone",
    timezone: "TimeZone",
    datestyle: "DateStyle",
    intervalstyle: "IntervalStyle",
    "transaction isolation level": "transaction_isolation",
  };
  return spelled[name] ?? name;
}

/** There are neither plans, temporary tables nor sequences; only ALL has anything to drop. */
function discard([, what, ...rest]: readonly Token[]): Prepared {
  const kinds = new Set(["all", "plans", "temp", "temporary", "sequences"]);
  if (!what || rest.length > 0 || !kinds.has(what.text))
    throw new BorealisError(sqlState.syntaxError, "syntax error in DISCARD", {
      hint: "DISCARD ALL, PLANS, TEMP or SEQUENCES",
    });
  const tag = `DISCARD ${what.text === "temporary" ? "TEMP" : what.text.toUpperCase()}`;
  return commandOf(tag, what.text === "all" ? { kind: "discard" } : undefined);
}

/** SET [SESSION | LOCAL] name = value, and its kin. */
function set(tokens: readonly Token[]): Prepared {
  const [scope] = tokens;
  const isScope = scope?.text === "session" || scope?.text === "local";
  const rest = isScope && tokens[1]?.text !== "authorization" ? tokens.slice(1) : tokens;
  const [first, second] = rest;
  if (first?.text === "transaction" || first?.text === "characteristics") return commandOf("SET");
  if (first?.text === "role" || first?.text === "session")
    throw new BorealisError(
      sqlState.notSupported,
      "the admin database is the master user's: nobody else can be put in their place",
    );
  if (first?.text === "time" && second?.text === "zone") return setTo("timezone", rest.slice(2));
  if (first?.text === "names") return setTo("client_encoding", rest.slice(1));
  const sign = rest.findIndex(({ text }) => text === "=" || text === "to");
  if (sign < 1)
    throw new BorealisError(sqlState.syntaxError, "syntax error in SET", {
      hint: "SET name = value",
    });
  return setTo(wordsOf(rest.slice(0, sign), ""), rest.slice(sign + 1));
}

function setTo(name: string, value: readonly Token[]): Prepared {
  if (value.length === 0)
    throw new BorealisError(sqlState.syntaxError, "syntax error at end of input");
  if (value.length === 1 && value[0]?.text === "default")
    return commandOf("SET", { kind: "reset", name });
  const text = value.map(plainText).join("").replaceAll(",", ", ");
  return commandOf("SET", { kind: "set", name, value: text });
}

const transactionKinds: Readonly<
  Record<string, Effect["kind"] & ("begin" | "commit" | "rollback")>
> = {
  begin: "begin",
  start: "begin",
  commit: "commit",
  end: "commit",
  rollback: "rollback",
  abort: "rollback",
};

function transactionCommand(tokens: readonly Token[]): Prepared | undefined {
  const [first, second] = tokens.map(({ text }) => text);
  // Nothing is changed here, so that a savepoint is a word.
  if (first === "savepoint") return commandOf("SAVEPOINT");
  if (first === "release") return commandOf("RELEASE");
  const isToSavepoint = tokens.some(({ text }) => text === "to") && first === "rollback";
  if (isToSavepoint) return commandOf("ROLLBACK", { kind: "rewind" });
  const kind = Object.hasOwn(transactionKinds, first ?? "")
    ? transactionKinds[first ?? ""]
    : undefined;
  if (!kind || second === "prepared" || (first === "start" && second !== "transaction"))
    return undefined;
  const tag = first === "start" ? "START TRANSACTION" : kind.toUpperCase();
  return commandOf(tag, { kind });
}

function nameOrAll(tokens: readonly Token[]): string | null {
  const name = wordsOf(tokens, "");
  return name === "all" || name === "" ? null : name;
}

function wordsOf(tokens: readonly Token[], between = " "): string {
  return tokens.map(plainText).join(between);
}
