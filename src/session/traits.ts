import type { HiddenState } from "./hidden-state.ts";

/** - relations: triggers, rules, views, policies; code: functions, operators, types and casts as well */
export type TraitChange = "relations" | "code";

/** What the catalogs of one database say, as far as a text alone cannot. */
export interface DatabaseTraits {
  /** A user's deferrable trigger runs inside COMMIT, after every question that could be asked before it. */
  readonly hasDeferrableTriggers: boolean;
  /** Rules of users: what DO ALSO SELECT gives differs between the simple and the extended protocol. */
  readonly hasRules: boolean;
  /** Names of views, and of tables with policies: reading them may run a user's functions. */
  readonly relationsWithCode: ReadonlySet<string>;
  /** Names of what users have made that may write where a text seems to read; see StatementClass.names. */
  readonly codeNames: Names;
  /** Names of functions that act beyond their transaction: on files, programs, other servers or processes. */
  readonly outsideNames: Names;
  /** Names of functions that may NOTIFY, by their own words or through others; absent where that is not known. */
  readonly notifyNames?: ReadonlySet<string>;
  /** What its code may do to a session; absent where that is not known. */
  readonly hidden?: HiddenState;
}

/** "any": not known, or no name in a text says so. */
export type Names = ReadonlySet<string> | "any";

/** Nothing known: every doubt counts. */
export const unknownTraits: DatabaseTraits = {
  hasDeferrableTriggers: true,
  hasRules: true,
  relationsWithCode: new Set(),
  codeNames: "any",
  outsideNames: "any",
};

/** While somebody makes a change, of what was known before. */
export function traitsDuring(change: TraitChange, before: DatabaseTraits): DatabaseTraits {
  const { relationsWithCode, codeNames, outsideNames, notifyNames } = before;
  const kept = { relationsWithCode, ...(notifyNames && { notifyNames }) };
  if (change === "code") return { ...unknownTraits, ...kept };
  // What has a name may come to be behind a relation.
  const isNothing = outsideNames !== "any" && outsideNames.size === 0;
  const known = { ...kept, codeNames, ...(isNothing && { outsideNames }) };
  return { ...unknownTraits, ...known };
}
