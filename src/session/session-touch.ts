import type { Classified, StatementClass } from "../route/index.ts";
import { factsOfSource } from "./source-patterns.ts";

/**
 * What running one text may do to what a session has beyond its transaction. The text never says the outcome, only
 * that there may be one; the outcome is read back from the server (see session-book.ts).
 */
export interface SessionTouch {
  /**
   * - now: the text itself says that something may differ afterwards
   * - hidden: it runs a user's code by name (a function, CALL), which may do anything
   * - deep: code behind relations may run (triggers, views, policies)
   * - no: nothing can
   */
  readonly reach: "no" | "deep" | "hidden" | "now";
  /** A rollback does not undo it: prepared statements, session advisory locks, libraries. */
  readonly survivesRollback: boolean;
  /** If it fails, it may all the same have left something that way. */
  readonly survivesFailure: boolean;
  /** It may free what cannot be rebuilt: CLOSE, DROP. */
  readonly mayFree: boolean;
  /** Settings with a prefix: no view of the server lists them, so their names are remembered. Lower case. */
  readonly customNames: readonly string[];
  /** Parameters ($1: 1) that name a setting. */
  readonly nameParameters: readonly number[];
  /** Session advisory locks may be taken or released. */
  readonly touchesLocks: boolean;
  readonly loads: readonly string[];
  /** Statements made by PREPARE that it runs. */
  readonly executes: readonly string[];
  /** It may create something, which is temporary where the search path begins so. */
  readonly makesObjects: boolean;
  /** It calls a user's code by name, so far as its text tells. */
  readonly callsCode: boolean;
  /** What no question tells is in the session afterwards; undefined: the text says of nothing like that. */
  readonly unseen: string | undefined;
  /** The text, if all that it does is to the session, and doing it twice is no different from doing it once. */
  readonly repeatable: string | undefined;
}

export const unseenNames = "it may have settings whose names are not known";
const unseenState = "it has a seed, a base backup, a replication slot or the like";

export const noTouch: SessionTouch = {
  reach: "no",
  survivesRollback: false,
  survivesFailure: false,
  mayFree: false,
  customNames: [],
  nameParameters: [],
  touchesLocks: false,
  loads: [],
  executes: [],
  makesObjects: false,
  callsCode: false,
  unseen: undefined,
  repeatable: undefined,
};

/** A text that is not known may do anything. */
export const unknownTouch: SessionTouch = {
  ...noTouch,
  reach: "now",
  survivesRollback: true,
  survivesFailure: true,
  mayFree: true,
  touchesLocks: true,
  makesObjects: true,
  callsCode: true,
};

/** Of a text, and as it was classified. */
export function touchOf({ statements }: Classified, sql = ""): SessionTouch {
  const sources = statements.flatMap(({ source }) => source ?? []).map(factsOfSource);
  const namesInSources = sources.flatMap(({ customNames }) => customNames);
  const unseen = statements.some(({ leavesUnseen }) => leavesUnseen)
    ? unseenState
    : statements.some(setsBuiltName) || sources.some(({ leavesUnseen }) => leavesUnseen)
      ? unseenNames
      : undefined;
  if (statements.some(({ kind }) => kind === "unknown"))
    return { ...unknownTouch, customNames: upToTooMany(namesInSources), unseen };
  const reaches = statements.map(reachOf);
  const reach = (["now", "hidden", "deep"] as const).find((each) => reaches.includes(each)) ?? "no";
  const changes = statements.flatMap(({ settings }) => settings);
  const touch: SessionTouch = {
    reach,
    survivesRollback: statements.some(survivesRollback),
    survivesFailure: survivesFailure(statements),
    mayFree: statements.some(({ tag }) => /^(CLOSE CURSOR|DROP\b|DISCARD)/.test(tag)),
    customNames: upToTooMany([...changes.map(({ name }) => name), ...namesInSources]),
    nameParameters: changes.flatMap(({ nameParameter }) => nameParameter ?? []),
    touchesLocks: statements.some(
      ({ sessionEffects, tag }) =>
        sessionEffects.includes("advisoryLock") ||
        sessionEffects.includes("discard") ||
        tag === "DO",
    ),
    loads: statements.flatMap(({ loads }) => loads ?? []),
    executes: statements.flatMap(({ executes }) => executes ?? []),
    makesObjects: statements.some(({ makesObjects }) => makesObjects),
    callsCode: statements.some(({ callsUnknown }) => callsUnknown),
    unseen,
    repeatable: isRepeatable(statements, sql) ? sql : undefined,
  };
  const isNothing =
    reach === "no" && !touch.mayFree && touch.customNames.length === 0 && unseen === undefined;
  return isNothing && touch.nameParameters.length === 0 ? noTouch : touch;
}

/** A session with more settings of its own cannot be made again: no text need say of more. */
export const customNamesMax = 500;

/** ... as cannot one with a longer name. */
export const customNameLengthMax = 1_000;

/** Of names of settings those with a prefix, each once. A text may have any number of them, and is executed by a few bytes. */
export function upToTooMany(names: readonly string[]): string[] {
  const custom = names.filter((name) => name.includes("."));
  return [...new Set(custom)].slice(0, customNamesMax + 1);
}

const repeatableBytesMax = 1_000;
// Nothing of it depends on how a session reads quotes or bytes.
const isAscii = /^[\s!-[\]-~]+$/;
const hasNoQuotes = /^[\w\s.;*(),=]+$/;
const unlocks =
  /(?:^|;)\s*select\s+(?:pg_catalog\s*\.\s*)?pg_advisory_unlock_all\s*\(\s*\)\s*(?=;|$)/gi;

/** SET, RESET, LISTEN, UNLISTEN, CLOSE ALL, and the unlocking of all: what pools reset a session with, among others. */
function isRepeatable(statements: readonly StatementClass[], sql: string): boolean {
  if (statements.length === 0 || sql.length > repeatableBytesMax || !isAscii.test(sql))
    return false;
  const selects = statements.filter(({ tag }) => tag === "SELECT").length;
  if (selects > 0 && (!hasNoQuotes.test(sql) || (sql.match(unlocks)?.length ?? 0) !== selects))
    return false;
  return statements.every(({ tag }) =>
    /^(?:SET|RESET|LISTEN|UNLISTEN|CLOSE CURSOR ALL|SELECT)$/.test(tag),
  );
}

function reachOf(statement: StatementClass): SessionTouch["reach"] {
  const { kind, tag, mayRunUserCode, mayWrite, sessionEffects, relations } = statement;
  if (sessionEffects.length > 0 || tag === "DO") return "now";
  if (!mayRunUserCode) return "no";
  if (tag === "CALL" || tag === "EXECUTE") return "hidden";
  // DDL runs a user's code only by event triggers and by expressions that it checks or builds.
  if (kind === "utility" || kind === "transaction") return "deep";
  const isQuery = tag === "SELECT" || tag === "EXPLAIN" || tag === "DECLARE CURSOR";
  return isQuery && (mayWrite || relations.length === 0) ? "hidden" : "deep";
}

function setsBuiltName({ settings }: StatementClass): boolean {
  return settings.some(({ isNameBuilt }) => isNameBuilt === true);
}

/** One of them before the one that failed, a part of a procedure, or a function's work before its error. */
function survivesFailure(statements: readonly StatementClass[]): boolean {
  if (statements.some(({ tag }) => tag === "CALL" || tag === "DO")) return true;
  const isOneCommand =
    statements.length === 1 &&
    /^(?:DEALLOCATE|DISCARD|LOAD|PREPARE)/.test(statements[0]?.tag ?? "");
  return !isOneCommand && statements.some(survivesRollback);
}

function survivesRollback({ sessionEffects, tag }: StatementClass): boolean {
  const lasting = ["preparedStatement", "advisoryLock", "library", "discard"] as const;
  return tag === "DO" || lasting.some((effect) => sessionEffects.includes(effect));
}
