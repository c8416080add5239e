import type { Findings } from "./findings.ts";
import { child, isTree, list, text, type Tree } from "./tree.ts";

const dataChanges = new Set(["InsertStmt", "UpdateStmt", "DeleteStmt", "MergeStmt"]);

/**
 * Whether a standby certainly refuses the statement (25006) and a writer can run it for a session that stays where it is:
 * what Aurora's write forwarding takes. Not SELECT INTO, which makes a table; not what a function may or may not write;
 * and not what leaves something in the session (settings, advisory locks), since it would be left in the wrong one.
 * `node` is a parse tree's statement with its name; `findings` are those of the statement that it stands in.
 */
export function isForwardableNode(node: object, findings: Findings): boolean {
  const [key = "", value] = Object.entries(node)[0] ?? [];
  if (!isTree(value)) return false;
  if (key === "ExplainStmt")
    return isAnalyze(value) && isForwardableNode(child(value, "query"), findings);
  if (findings.settings.length > 0 || findings.takesAdvisoryLock) return false;
  if (findings.makesTemporaryObject) return false;
  if (dataChanges.has(key)) return true;
  if (key !== "SelectStmt" || makesTable(value)) return false;
  return findings.changesData || findings.locksRows;
}

/** The first SELECT of a UNION carries the INTO of all. */
function makesTable(select: Tree): boolean {
  return (
    isTree(select["intoClause"]) || (isTree(select["larg"]) && makesTable(child(select, "larg")))
  );
}

/** With an argument it may be switched off again: such an EXPLAIN is left where it is. */
function isAnalyze(explain: Tree): boolean {
  const named = list(explain, "options")
    .map((option) => (isTree(option) ? child(option, "DefElem") : {}))
    .filter((option) => text(option, "defname") === "analyze");
  return named.length === 1 && named[0]?.["arg"] === undefined;
}
