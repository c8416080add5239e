import type { StatementClass } from "../route/index.ts";
import { hasNotify } from "./source-patterns.ts";
import type { DatabaseTraits } from "./traits.ts";

const word = /[\w$\u0080-\uffff]+/g;

/**
 * Whether code that a statement runs may NOTIFY, which nothing but a transaction id that is taken ahead shows before COMMIT. Code
 * behind a trigger that no row has run, a view or a default is not looked for: what they are for changes rows.
 */
export function mayNotify(
  { tag, names = [], source, mayRunUserCode, prepares }: StatementClass,
  { notifyNames }: Pick<DatabaseTraits, "notifyNames">,
): boolean {
  // What PREPARE names it runs later, and its text is then looked at as this.
  if (!mayRunUserCode && prepares === undefined) return false;
  const isOne = (name: string): boolean => notifyNames?.has(name) === true;
  if (names.some(isOne)) return true;
  // Which one it calls its names do not say.
  if (tag === "CALL") return notifyNames !== undefined && notifyNames.size > 0;
  if (source === undefined) return false;
  if (hasNotify(source)) return true;
  if (notifyNames === undefined || notifyNames.size === 0) return false;
  return (source.toLowerCase().match(word) ?? []).some(isOne);
}
