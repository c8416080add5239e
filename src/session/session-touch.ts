import type { Classified, StatementClass } from "../route/index.ts";

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
  /** It seeds the session's random numbers: nothing reads that back. */
  readonly seeds: boolean;
}

export const noTouch: SessionTouch = {
  reach: "no",
  survivesRollback: false,
  mayFree: false,
  customNames: [],
  nameParameters: [],
  touchesLocks: false,
  loads: [],
  executes: [],
  seeds: false,
};

/** A text that is not known may do anything. */
export const unknownTouch: SessionTouch = {
  ...noTouch,
  reach: "now",
  survivesRollback: true,
  mayFree: true,
  touchesLocks: true,
};

/** Of a text as it was classified. */
export function touchOf({ statements }: Classified): SessionTouch {
  if (statements.some(({ kind }) => kind === "unknown")) return unknownTouch;
  const reaches = statements.map(reachOf);
  const reach = (["now", "hidden", "deep"] as const).find((each) => reaches.includes(each)) ?? "no";
  const changes = statements.flatMap(({ settings }) => settings);
  const touch: SessionTouch = {
    reach,
    survivesRollback: statements.some(survivesRollback),
    mayFree: statements.some(({ tag }) => /^(CLOSE CURSOR|DROP\b|DISCARD)/.test(tag)),
    customNames: changes.map(({ name }) => name).filter((name) => name.includes(".")),
    nameParameters: changes.flatMap(({ nameParameter }) => nameParameter ?? []),
    touchesLocks: statements.some(
      ({ sessionEffects, tag }) =>
        sessionEffects.includes("advisoryLock") ||
        sessionEffects.includes("discard") ||
        tag === "DO",
    ),
    loads: statements.flatMap(({ loads }) => loads ?? []),
    executes: statements.flatMap(({ executes }) => executes ?? []),
    seeds: changes.some(({ name }) => name === "seed"),
  };
  const isNothing = reach === "no" && !touch.mayFree && touch.customNames.length === 0;
  return isNothing && touch.nameParameters.length === 0 ? noTouch : touch;
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

function survivesRollback({ sessionEffects, tag }: StatementClass): boolean {
  const lasting = ["preparedStatement", "advisoryLock", "library", "discard"] as const;
  return tag === "DO" || lasting.some((effect) => sessionEffects.includes(effect));
}
