import type { Expr } from "./syntax.ts";

/** What PostgreSQL calls a result column without an alias. */
export function columnNameOf(node: Expr): string {
  switch (node.type) {
    case "ref":
      return node.name.replaceAll('""', '"');
    case "call":
      return node.function.name;
    case "keyword":
      return node.keyword;
    case "cast": {
      const inner = columnNameOf(node.operand);
      if (inner !== nameless) return inner;
      return node.to.kind === "array" ? nameless : node.to.name;
    }
    case "case":
    case "array":
    case "extract":
    case "substring":
      return node.type;
    case "boolean":
      return "bool";
    default:
      return nameless;
  }
}

const nameless = "?column?";
