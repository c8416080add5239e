/** A parse tree as plain data: looking for a thing wherever it may stand needs no type for each of 250 nodes. */
export type Tree = Record<string, unknown>;

export function isTree(value: unknown): value is Tree {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The field as a tree; an empty one if it is absent. */
export function child(tree: Tree, field: string): Tree {
  const value = tree[field];
  return isTree(value) ? value : {};
}

export function list(tree: Tree, field: string): readonly unknown[] {
  const value = tree[field];
  return Array.isArray(value) ? value : [];
}

export function text(tree: Tree, field: string): string | undefined {
  const value = tree[field];
  return typeof value === "string" ? value : undefined;
}

/** The parts of a dotted name: a list of String nodes. */
export function nameParts(parts: readonly unknown[]): string[] {
  return parts.map((part) => (isTree(part) ? (text(child(part, "String"), "sval") ?? "") : ""));
}

/** The text of a constant, if the expression is one and nothing else; a type cast of a constant counts. */
export function constantText(expression: unknown): string | undefined {
  if (!isTree(expression)) return undefined;
  if (isTree(expression["TypeCast"])) return constantText(child(expression, "TypeCast")["arg"]);
  const constant = child(expression, "A_Const");
  const sval = child(constant, "sval");
  // protobuf's JSON leaves an empty string and a zero out.
  if (isTree(constant["sval"])) return text(sval, "sval") ?? "";
  if (isTree(constant["fval"])) return text(child(constant, "fval"), "fval");
  if (!isTree(constant["ival"])) return undefined;
  const number = child(constant, "ival")["ival"] ?? 0;
  return typeof number === "number" ? `${number}` : undefined;
}

/** The number of the parameter ($1: 1) that an expression is, if it is one and nothing else; with or without a cast. */
export function parameterOf(expression: unknown): number | undefined {
  if (!isTree(expression)) return undefined;
  if (isTree(expression["TypeCast"])) return parameterOf(child(expression, "TypeCast")["arg"]);
  const { number } = child(expression, "ParamRef");
  return typeof number === "number" ? number : undefined;
}
