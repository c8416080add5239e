import { builtinOperators, builtinTypes, harmlessFunctions } from "./builtins.generated.ts";
import { auroraFunctions } from "./aurora-functions.ts";
import {
  child,
  constantText,
  isTree,
  list,
  nameParts,
  parameterOf,
  text,
  type Tree,
} from "./tree.ts";

/** A relation that a statement names, as it names it. */
export interface RelationName {
  readonly schema: string | undefined;
  readonly name: string;
}

/** A setting that is changed. */
export interface SettingChange {
  /** Lower case; "*" where it may be any (RESET ALL, set_config with an expression, UPDATE pg_settings). */
  readonly name: string;
  /** The new value if it is one constant, null for a reset, undefined if only the server knows. */
  readonly value: string | null | undefined;
  /** SET LOCAL: gone with the transaction. */
  readonly isLocal: boolean;
  /** set_config($1, ...): the parameter that holds the name. */
  readonly nameParameter?: number;
  /** The name is the value of an expression: nobody knows it. */
  readonly isNameBuilt?: boolean;
}

/** What the expressions and clauses of one statement call and touch, whatever the statement is. */
export interface Findings {
  /** INSERT, UPDATE, DELETE, MERGE or SELECT INTO anywhere, data-modifying CTEs included. */
  changesData: boolean;
  /** FOR UPDATE and its kin. */
  locksRows: boolean;
  /** A function, operator or type that is not a harmless built-in. */
  namesUnknownCode: boolean;
  drawsSequence: boolean;
  notifies: boolean;
  takesAdvisoryLock: boolean;
  makesTemporaryObject: boolean;
  /** SELECT INTO or CREATE TABLE AS anywhere: a temporary one, too, if the search path begins so. */
  makesRelation: boolean;
  /** setseed, a base backup, a replication slot or origin: it lives in the server process, and nothing shows it. */
  leavesUnseen: boolean;
  /** What SET, RESET and set_config name, in the statement itself or in a SET clause of what it defines. */
  settings: SettingChange[];
  /** Relations outside pg_catalog and information_schema that are not CTEs of the statement. */
  relations: RelationName[];
  /** See StatementClass.names. */
  names: Set<string>;
}

const catalogSchemas = new Set(["pg_catalog", "information_schema"]);
const dataChanges = new Set(["InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt", "intoClause"]);
/** They begin what only they, or the end of the server process, can end. */
const backendFunctions =
  /^(?:pg_backup_start|pg_start_backup|pg_replication_origin_session_setup|pg_(?:create|copy)_(?:physical|logical)_replication_slot)$/;
/** Built-in functions of one argument that do something are among these. */
const actingFunctions = /^(?:nextval|setseed|lo_\w+|loread|lowrite|pg_\w+|txid_\w+|\w+_xml\w*)$/;
const betweenOperators = ["<", ">", "<=", ">="];
const temporarySchema = /^pg_temp(?:_\d+)?$/;
const samplingMethods = new Set(["system", "bernoulli"]);

/** Well under what the JavaScript stack bears (about 5,000); a chain of 500 operators nests that deep. */
const depthMax = 1_500;

/** Walks a whole statement; undefined if it nests too deep to be judged. */
export function inspect(statement: unknown): Findings | undefined {
  const findings: Findings = {
    changesData: false,
    locksRows: false,
    namesUnknownCode: false,
    drawsSequence: false,
    notifies: false,
    takesAdvisoryLock: false,
    makesTemporaryObject: false,
    makesRelation: false,
    leavesUnseen: false,
    settings: [],
    relations: [],
    names: new Set(),
  };
  const walked = { ctes: new Map(), relations: new Set<string>() };
  return walk(statement, walked, findings, depthMax) ? findings : undefined;
}

/** Where a walk is. A statement may have some ten thousand names of either kind. */
interface Walked {
  /** The CTEs that can be seen, and how many there are of each name. */
  readonly ctes: Map<string, number>;
  /** Findings.relations. */
  readonly relations: Set<string>;
}

function show({ ctes }: Walked, name: string): void {
  ctes.set(name, (ctes.get(name) ?? 0) + 1);
}

function hide({ ctes }: Walked, name: string): void {
  // Not deleted: V8 orders a large map anew when that is done over and over.
  ctes.set(name, (ctes.get(name) ?? 0) - 1);
}

/** False if there was no depth left. */
function walk(value: unknown, walked: Walked, findings: Findings, depth: number): boolean {
  if (depth === 0) return false;
  if (Array.isArray(value)) return value.every((item) => walk(item, walked, findings, depth - 1));
  if (!isTree(value)) return true;
  const clause = value["withClause"];
  const ctes = isTree(clause) ? walkCtes(clause, walked, findings, depth - 1) : [];
  if (!ctes) return false;
  if (typeof value["relname"] === "string") noteRelation(value, walked, findings);
  for (const key in value) {
    if (key === "withClause") continue;
    const field = value[key];
    if (isTree(field)) noteNode(key, field, findings);
    else if (key === "lockingClause") findings.locksRows = true;
    if (!walk(field, walked, findings, depth - 1)) return false;
  }
  for (const name of ctes) hide(walked, name);
  return true;
}

/**
 * A CTE sees those before it, and itself and its siblings only under RECURSIVE; the statement sees all: their names are given,
 * to be hidden behind it. Undefined if there was no depth left.
 */
function walkCtes(
  clause: Tree,
  walked: Walked,
  findings: Findings,
  depth: number,
): readonly string[] | undefined {
  const ctes = list(clause, "ctes").map((cte) =>
    isTree(cte) ? child(cte, "CommonTableExpr") : {},
  );
  const names = ctes.map((cte) => text(cte, "ctename") ?? "");
  const isRecursive = clause["recursive"] === true;
  if (isRecursive) for (const name of names) show(walked, name);
  for (const [index, cte] of ctes.entries()) {
    if (!walk(cte, walked, findings, depth)) return undefined;
    if (!isRecursive) show(walked, names[index] ?? "");
  }
  return names;
}

function noteNode(key: string, node: Tree, findings: Findings): void {
  if (dataChanges.has(key)) findings.changesData = true;
  if (key === "intoClause" || key === "CreateTableAsStmt") findings.makesRelation = true;
  switch (key) {
    case "FuncCall":
      return noteFunction(node, findings);
    case "A_Expr":
      if (text(node, "kind")?.includes("BETWEEN")) addAll(findings.names, betweenOperators);
      else noteOperator(list(node, "name"), findings);
      return;
    case "SubLink":
      if (node["operName"]) noteOperator(list(node, "operName"), findings);
      else findings.names.add("=");
      return;
    // They compare, without a word of it.
    case "CaseExpr":
      if (node["arg"]) findings.names.add("=");
      return;
    case "JoinExpr":
      if (node["usingClause"] || node["isNatural"] === true) findings.names.add("=");
      return;
    case "ColumnRef": {
      const fields = list(node, "fields");
      if (fields.length > 1) addAll(findings.names, nameParts(fields.slice(-1)));
      return;
    }
    case "A_Indirection":
      for (const field of nameParts(list(node, "indirection"))) noteField(field, findings);
      return;
    case "SortBy":
      if (node["useOp"]) noteOperator(list(node, "useOp"), findings);
      return;
    case "typeName":
    case "TypeName":
      return noteType(node, findings);
    case "VariableSetStmt":
    case "setstmt":
      findings.settings.push(settingOf(node));
      return;
    case "UpdateStmt":
      // pg_settings has a rule that makes of an UPDATE a call of set_config.
      if (text(child(node, "relation"), "relname") === "pg_settings")
        findings.settings.push(anySetting);
      return;
    case "RangeTableSample": {
      const method = nameParts(list(node, "method"));
      if (!samplingMethods.has(method.at(-1) ?? "")) findings.namesUnknownCode = true;
      return;
    }
    default:
  }
}

const anySetting: SettingChange = { name: "*", value: undefined, isLocal: false };

/** SET TRANSACTION and SET SESSION CHARACTERISTICS come with the name in capitals and a list of options. */
function settingOf(set: Tree): SettingChange {
  const kind = text(set, "kind");
  if (kind === "VAR_RESET_ALL") return anySetting;
  const args = list(set, "args");
  const isConstant = args.length === 1 && isTree(args[0]) && "A_Const" in args[0];
  const isReset = kind === "VAR_RESET" || kind === "VAR_SET_DEFAULT";
  return {
    name: (text(set, "name") ?? "*").toLowerCase(),
    value: isReset ? null : isConstant ? constantText(args[0]) : undefined,
    isLocal: set["is_local"] === true,
  };
}

/** The last part of a name if it can only mean pg_catalog's: bare, or with that schema. */
function builtinName(parts: readonly string[]): string | undefined {
  if (parts.length === 1) return parts[0];
  return parts.length === 2 && parts[0] === "pg_catalog" ? parts[1] : undefined;
}

/** With its schema alone: where sql.aurora is off such a name may be a user's stand-in, in a schema of theirs. */
function isAurora([schema, name = "", ...more]: readonly string[]): boolean {
  return schema === "pg_catalog" && more.length === 0 && auroraFunctions.has(name);
}

function noteFunction(call: Tree, findings: Findings): void {
  const parts = nameParts(list(call, "funcname"));
  const name = builtinName(parts);
  findings.names.add(parts.at(-1) ?? "");
  if (name !== undefined && harmlessFunctions.has(name)) return;
  if (isAurora(parts) && list(call, "args").length === 0) return;
  switch (name) {
    case "nextval":
    case "setval":
      findings.drawsSequence = true;
      return;
    case "pg_notify":
      findings.notifies = true;
      return;
    case "set_config": {
      const [setting, value, isLocal] = list(call, "args");
      const nameParameter = parameterOf(setting);
      const constant = constantText(setting)?.toLowerCase();
      findings.settings.push({
        name: constant ?? "*",
        value: constantText(value),
        isLocal: isTree(isLocal) && child(child(isLocal, "A_Const"), "boolval")["boolval"] === true,
        ...(nameParameter !== undefined && { nameParameter }),
        ...(nameParameter === undefined && constant === undefined && { isNameBuilt: true }),
      });
      return;
    }
    case "setseed":
      findings.leavesUnseen = true;
      findings.settings.push({ name: "seed", value: undefined, isLocal: false });
      return;
    default:
      if (name !== undefined && /^pg_(try_)?advisory_/.test(name))
        findings.takesAdvisoryLock = true;
      else findings.namesUnknownCode = true;
      if (name !== undefined && backendFunctions.test(name)) findings.leavesUnseen = true;
  }
}

/** `(value).name` may be a call of a function: such built-ins are known by how they are named. */
function noteField(field: string, findings: Findings): void {
  findings.names.add(field);
  if (!actingFunctions.test(field) || harmlessFunctions.has(field)) return;
  noteFunction({ funcname: [{ String: { sval: field } }] }, findings);
}

function addAll(names: Set<string>, more: readonly string[]): void {
  for (const name of more) names.add(name);
}

function noteOperator(parts: readonly unknown[], findings: Findings): void {
  const names = nameParts(parts);
  const name = builtinName(names);
  findings.names.add(names.at(-1) ?? "");
  if (name === undefined || !builtinOperators.has(name)) findings.namesUnknownCode = true;
}

/** A cast to a user's type runs its input function, a domain's its CHECK constraints. */
function noteType(type: Tree, findings: Findings): void {
  const names = nameParts(list(type, "names"));
  const name = builtinName(names);
  findings.names.add(names.at(-1) ?? "");
  if (name === undefined || !builtinTypes.has(name)) findings.namesUnknownCode = true;
}

function noteRelation(range: Tree, { ctes, relations }: Walked, findings: Findings): void {
  const name = text(range, "relname") ?? "";
  const schema = text(range, "schemaname");
  const isTemporary = schema !== undefined && temporarySchema.test(schema);
  if (range["relpersistence"] === "t" || isTemporary) findings.makesTemporaryObject = true;
  if (schema === undefined ? (ctes.get(name) ?? 0) > 0 : catalogSchemas.has(schema)) return;
  const key = schema === undefined ? name : `${schema}\0${name}`;
  if (relations.has(key)) return;
  relations.add(key);
  findings.relations.push({ schema, name });
}
