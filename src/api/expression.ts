import { BorealisError, sqlState } from "../base/errors.ts";
import { type Aggregate, isAggregate, makeAggregate, misplaced } from "./aggregates.ts";
import { castTerm, memberOf } from "./casts.ts";
import { alike, callFunction, type FunctionWorld, noFunction } from "./functions.ts";
import { requireParameter } from "./limits.ts";
import { binary, isComparison, overArray, unify } from "./operators.ts";
import type { Scope, ScopeColumn } from "./scope.ts";
import { bigintOf, checkedInteger, parseValue, type SqlType, type SqlValue } from "./sql-types.ts";
import { errorAt, type Expr, type ExprBinary, type ExprCall, fingerprint } from "./syntax.ts";
import { compareValues, isNumber, requireType, type Term } from "./term.ts";

/** What is behind the expressions of one statement. */
export interface ExpressionWorld extends FunctionWorld {
  readonly scope: Scope;
  /** The statement, for what its tree has lost. */
  readonly text: string;
}

/** Where an expression stands. */
export type Place =
  /** `name`: as errors say it. */
  | { readonly kind: "rows"; readonly name: string }
  /** Where aggregates may stand; `keys`: what groups are made by (fingerprints, column keys); undefined: there are no groups. */
  | {
      readonly kind: "groups";
      readonly aggregates: Aggregate[];
      readonly keys: ReadonlySet<string> | undefined;
    };

/** Of a column in what groups are made by, whatever it is called. */
export function columnKey(index: number): string {
  return `column ${index}`;
}

/** A tree this deep is nobody's, and would overflow the stack. */
const depthMax = 500;

/** Makes terms of one statement's expressions. Everything that can be wrong with a type or name is raised here. */
export class Expressions {
  readonly world: ExpressionWorld;
  private depth = 0;

  constructor(world: ExpressionWorld) {
    this.world = world;
  }

  compile(node: Expr, place: Place): Term {
    if (++this.depth > depthMax)
      throw new BorealisError(sqlState.tooComplex, "the statement is nested too deeply");
    try {
      const isKey = place.kind === "groups" && place.keys?.has(fingerprint(node)) === true;
      return this.compileKind(node, isKey ? { kind: "rows", name: "GROUP BY" } : place);
    } catch (error) {
      // Whoever raised it nearest to the fault knew best.
      if (!(error instanceof BorealisError) || error.position !== undefined) throw error;
      const { code, message, hint, detail } = error;
      const facts = {
        ...(hint !== undefined && { hint }),
        ...(detail !== undefined && { detail }),
      };
      throw errorAt(node, code, message, facts);
    } finally {
      this.depth--;
    }
  }

  /** A condition. */
  condition(node: Expr, place: Place): Term {
    const { parameters } = this.world;
    return requireType(this.compile(node, place), "bool", { parameters, what: "the condition" });
  }

  private compileKind(node: Expr, place: Place): Term {
    switch (node.type) {
      case "integer":
        return this.integer(node);
      case "numeric":
        return always("float8", node.value);
      case "string":
        return { ...always("unknown", node.value), literal: node.value };
      case "boolean":
        return always("bool", node.value);
      case "null":
        return always("unknown", null);
      case "parameter":
        return this.parameter(Number(node.name.slice(1)));
      case "ref":
        return this.column(node, place);
      case "keyword": {
        // Without quotes it is the login in PostgreSQL; nobody who reads sessions means that.
        const own = node.keyword === "user" ? this.world.scope.find("user") : undefined;
        if (own) return this.column({ ...node, type: "ref", name: "user" }, place);
        return this.call({ name: node.keyword, args: [] });
      }
      case "call":
        return this.callOf(node, place);
      case "binary":
        return this.binary(node, place);
      case "unary":
        return this.unary(node, place);
      case "ternary":
        return this.between(node, place);
      case "case":
        return this.caseOf(node, place);
      case "cast":
        return castTerm(this.compile(node.operand, place), node.to, this.world.parameters);
      case "member":
        return memberOf(this.compile(node.operand, place), node);
      case "extract":
        return this.extract(node, place);
      case "substring":
        return this.substring(node, place);
      case "array":
        return this.array(node.expressions, place);
      case "select":
      case "union":
      case "union all":
      case "values":
      case "with":
      case "with recursive":
      case "array select":
        throw errorAt(node, sqlState.notSupported, "subqueries are not supported here");
      default:
        throw errorAt(node, sqlState.notSupported, `${node.type} is not supported here`);
    }
  }

  /** The parser gives a number, which does not hold every int8. */
  private integer(node: Extract<Expr, { type: "integer" }>): Term {
    const { start, end } = node._location ?? {};
    const text = start === undefined ? "" : this.world.text.slice(start, end).trim();
    const value = /^[-+]?\d+$/.test(text) ? BigInt(text) : BigInt(Math.trunc(node.value));
    if (value >= -(2n ** 31n) && value < 2n ** 31n) return always("int4", value);
    return always("int8", checkedInteger("int8", value));
  }

  private parameter(number: number): Term {
    requireParameter(number);
    const type = this.world.parameters.typeOf(number);
    const run: Term["run"] = ({ parameters }) => parameters[number - 1] ?? null;
    return type ? { type, run } : { type: "unknown", run, parameter: number };
  }

  private column(node: Extract<Expr, { type: "ref" }>, place: Place): Term {
    if (node.name === "*")
      throw errorAt(node, sqlState.syntaxError, "* is allowed in the list of results only");
    return this.columnAt(node, this.world.scope.column(node), place);
  }

  /** `node`: what errors point at. Raises 42803 where it would have a value for each row of a group. */
  columnAt(
    node: Extract<Expr, { type: "ref" }>,
    { index, type }: Pick<ScopeColumn, "index" | "type">,
    place: Place,
  ): Term {
    if (place.kind === "groups" && place.keys && !place.keys.has(columnKey(index)))
      throw errorAt(
        node,
        sqlState.groupingError,
        `column "${node.name}" must appear in the GROUP BY clause or be used in an aggregate function`,
      );
    return { type, run: ({ row }) => row[index] ?? null };
  }

  private callOf(node: ExprCall, place: Place): Term {
    const { name, schema } = node.function;
    if (node.over) throw errorAt(node, sqlState.notSupported, "OVER is not supported here");
    if (node.orderBy || node.withinGroup)
      throw errorAt(node, sqlState.notSupported, "ordered aggregates are not supported here");
    if (schema !== undefined && schema !== "pg_catalog") throw noFunction(`${schema}.${name}`, []);
    if (isAggregate(name)) return this.aggregate(node, place);
    if (node.distinct || node.filter)
      throw errorAt(node, sqlState.syntaxError, `${name} is not an aggregate function`);
    const args = node.args.map((arg) => this.compile(arg, place));
    return this.call({ name, args });
  }

  private call({ name, args }: { name: string; args: readonly Term[] }): Term {
    const term = callFunction(name, args, this.world);
    if (term) return term;
    throw noFunction(name, args);
  }

  private aggregate(node: ExprCall, place: Place): Term {
    const { name } = node.function;
    if (place.kind !== "groups") throw misplaced(place.name);
    const inner: Place = { kind: "rows", name: "an aggregate function" };
    const [first, ...more] = node.args;
    const isStar = first?.type === "ref" && first.name === "*" && !first.table;
    const arg = first && !isStar ? this.compile(first, inner) : undefined;
    const filter = node.filter ? this.condition(node.filter, inner) : undefined;
    const isDistinct = node.distinct === "distinct";
    const takesIt = more.length === 0 && (arg || (isStar && name === "count" && !isDistinct));
    const call = { name, arg, isDistinct, filter };
    const aggregate = takesIt ? makeAggregate(call, this.world.parameters) : undefined;
    if (!aggregate) throw noFunction(name, arg ? [arg] : []);
    const slot = place.aggregates.push(aggregate) - 1;
    return { type: aggregate.type, run: ({ aggregates }) => aggregates[slot] ?? null };
  }

  private binary(node: ExprBinary, place: Place): Term {
    const { op, right } = node;
    if (op === "AND" || op === "OR") return this.logic(node, place);
    const left = this.compile(node.left, place);
    if (op === "IN" || op === "NOT IN") return this.isIn(node, left, place);
    if (isComparison(op) && right.type === "call" && /^(any|some|all)$/.test(right.function.name)) {
      const [list, ...more] = right.args;
      if (!list || more.length > 0)
        throw errorAt(right, sqlState.syntaxError, "ANY and ALL take one array");
      const array = this.compile(list, place);
      const isAll = right.function.name === "all";
      return overArray(op, { element: left, array, isAll }, this.world.parameters);
    }
    return binary(op, [left, this.compile(right, place)], this.world.parameters);
  }

  private logic({ op, left, right }: ExprBinary, place: Place): Term {
    const { parameters } = this.world;
    const what = `argument of ${op}`;
    const a = requireType(this.compile(left, place), "bool", { parameters, what });
    const b = requireType(this.compile(right, place), "bool", { parameters, what });
    const decisive = op === "OR";
    return {
      type: "bool",
      run: (context) => {
        const first = a.run(context);
        if (first === decisive) return decisive;
        const second = b.run(context);
        if (second === decisive) return decisive;
        return first === null || second === null ? null : !decisive;
      },
    };
  }

  private isIn({ op, right }: ExprBinary, left: Term, place: Place): Term {
    // Of one value in brackets the parser makes that value.
    const nodes = right.type === "list" ? right.expressions : [right];
    const items = nodes.map((item) => this.compile(item, place));
    const { parameters } = this.world;
    const pairs = items.map((item) => unify("=", [left, item], parameters));
    const isNegated = op === "NOT IN";
    return {
      type: "bool",
      run: (context) => {
        let hasNull = false;
        for (const [a, b] of pairs) {
          const value = a.run(context);
          const item = b.run(context);
          if (value === null || item === null) hasNull = true;
          else if (compareValues(value, item) === 0) return !isNegated;
        }
        return hasNull ? null : isNegated;
      },
    };
  }

  private unary(node: Extract<Expr, { type: "unary" }>, place: Place): Term {
    const term = this.compile(node.operand, place);
    const { parameters } = this.world;
    const { run } = term;
    switch (node.op) {
      case "NOT": {
        const truth = requireType(term, "bool", { parameters, what: "argument of NOT" });
        return { type: "bool", run: (context) => negated(truth.run(context)) };
      }
      case "IS NULL":
        return { type: "bool", run: (context) => run(context) === null };
      case "IS NOT NULL":
        return { type: "bool", run: (context) => run(context) !== null };
      case "IS TRUE":
      case "IS FALSE":
      case "IS NOT TRUE":
      case "IS NOT FALSE": {
        const truth = requireType(term, "bool", { parameters, what: `argument of ${node.op}` });
        const wanted = node.op.endsWith("TRUE");
        const isNegated = node.op.includes("NOT");
        return { type: "bool", run: (context) => (truth.run(context) === wanted) !== isNegated };
      }
      case "+":
      case "-": {
        const number = term.type === "unknown" ? castToNumber(term, this.world) : term;
        if (!isNumber(number.type) && number.type !== "interval") throw noFunction(node.op, [term]);
        return node.op === "+"
          ? number
          : { type: number.type, run: (context) => minus(number.type, number.run(context)) };
      }
    }
  }

  private between(node: Extract<Expr, { type: "ternary" }>, place: Place): Term {
    const { parameters } = this.world;
    const value = this.compile(node.value, place);
    const low = binary(">=", [value, this.compile(node.lo, place)], parameters);
    const high = binary("<=", [value, this.compile(node.hi, place)], parameters);
    const isNegated = node.op === "NOT BETWEEN";
    return {
      type: "bool",
      run: (context) => {
        const a = low.run(context);
        const b = high.run(context);
        const isInside =
          a === false || b === false ? false : a === null || b === null ? null : true;
        return isNegated ? negated(isInside) : isInside;
      },
    };
  }

  private caseOf(node: Extract<Expr, { type: "case" }>, place: Place): Term {
    const { parameters } = this.world;
    const subject = node.value ? this.compile(node.value, place) : undefined;
    const whens = node.whens.map(({ when }) =>
      subject
        ? binary("=", [subject, this.compile(when, place)], parameters)
        : this.condition(when, place),
    );
    const results = node.whens.map(({ value }) => this.compile(value, place));
    const otherwise = node.else ? this.compile(node.else, place) : always("unknown", null);
    const values = alike([...results, otherwise], parameters);
    const type = values?.[0]?.type;
    if (!values || !type)
      throw errorAt(node, sqlState.datatypeMismatch, "CASE types cannot be matched");
    return {
      type,
      run: (context) => {
        const index = whens.findIndex((when) => when.run(context) === true);
        return values.at(index < 0 ? -1 : index)?.run(context) ?? null;
      },
    };
  }

  private extract(node: Extract<Expr, { type: "extract" }>, place: Place): Term {
    const from = this.compile(node.from, place);
    const isTime = from.type === "timestamptz" || from.type === "interval";
    if (node.field.name.toLowerCase() !== "epoch" || !isTime)
      throw errorAt(node, sqlState.notSupported, "only extract(epoch from a time) is supported");
    return {
      type: "float8",
      run: (context) => {
        const value = from.run(context);
        return value === null ? null : Number(bigintOf(value)) / 1e6;
      },
    };
  }

  private substring(node: Extract<Expr, { type: "substring" }>, place: Place): Term {
    const one: Expr = { type: "integer", value: 1 };
    const parts = [node.value, node.from ?? one, ...(node.for ? [node.for] : [])];
    const args = parts.map((part) => this.compile(part, place));
    return this.call({ name: "substring", args });
  }

  private array(expressions: readonly Expr[], place: Place): Term {
    const { parameters } = this.world;
    const items = expressions.map((item) =>
      requireType(this.compile(item, place), "text", { parameters, what: "an array's element" }),
    );
    const run: Term["run"] = (context) =>
      items.map((item) => {
        const value = item.run(context);
        return value === null ? null : String(value);
      });
    return { type: "text[]", run };
  }
}

function always(type: Term["type"], value: SqlValue): Term {
  return { type, run: () => value };
}

function negated(truth: SqlValue): SqlValue {
  return truth === null ? null : truth !== true;
}

function minus(type: SqlType, value: SqlValue): SqlValue {
  if (typeof value === "bigint") return checkedInteger(type, -value);
  return typeof value === "number" ? -value : null;
}

function castToNumber(term: Term, { parameters }: ExpressionWorld): Term {
  if (term.literal !== undefined) return always("float8", parseValue("float8", term.literal));
  return requireType(term, "float8", { parameters, what: "the operand" });
}
