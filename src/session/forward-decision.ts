import { BorealisError, sqlState } from "../base/errors.ts";
import type { Classified, StatementClass } from "../route/index.ts";
import type { ConsistencyMode } from "./consistency.ts";

/** What one text means for a session that may forward it; derived from its classification. */
export interface ForwardText {
  /**
   * - write: a reader refuses it, a writer can run it for this session
   * - begin: opens a transaction block, and nothing else; readOnlyBegin: one that must not write
   * - execute: as the statement that PREPARE gave this name (`executes`)
   * - other: everything else; it may be a write that is not forwarded
   */
  readonly kind: "write" | "begin" | "readOnlyBegin" | "execute" | "other";
  readonly executes: string | undefined;
  /** It leaves something in the session beyond its transaction: settings, prepared statements, cursors, locks. */
  readonly changesSession: boolean;
  /** It shows, or is analysed against, what is in the database: it is to be run where that is shown. */
  readonly readsData: boolean;
  /** For messages: "INSERT". */
  readonly tag: string;
}

/** Where the transaction of a session stands that has a reader, and may have a writer besides. */
export type ForwardPlace =
  /** No transaction is open. */
  | "outside"
  /** BEGIN has run on the reader, and nothing after it. */
  | "begun"
  /** The transaction has run something on the reader. */
  | "reading"
  /** ... and it said READ ONLY itself. */
  | "readOnly"
  | "failed"
  /** The transaction is on the writer. */
  | "writing";

export type ForwardDecision =
  | { readonly kind: "here" }
  | { readonly kind: "forward" }
  | { readonly kind: "refuse"; readonly error: BorealisError };

const here: ForwardDecision = { kind: "here" };
const forward: ForwardDecision = { kind: "forward" };

/** What is not known, or too long to be looked at: PostgreSQL says what it thinks of it. */
export const unknownText: ForwardText = {
  kind: "other",
  executes: undefined,
  changesSession: true,
  readsData: true,
  tag: "",
};

/** The Execute of a portal: what it is was judged when it was bound. */
export const portalText: ForwardText = { ...unknownText, changesSession: false };

/** Of all statements of one text. Several are one write if one of them is, and none is more than a read. */
export function forwardTextOf({ statements }: Classified): ForwardText {
  const [first] = statements;
  if (!first) return { ...unknownText, changesSession: false, readsData: false };
  const changesSession = statements.some(leavesSomething);
  const readsData = !statements.every(readsNothing);
  const common = { executes: undefined, changesSession, readsData, tag: first.tag };
  if (statements.length > 1) {
    const write = statements.find(({ isForwardable }) => isForwardable);
    const isWhole = statements.every((one) => one.isForwardable || isRead(one));
    return write && isWhole
      ? { ...common, kind: "write", tag: write.tag }
      : { ...common, kind: "other" };
  }
  if (first.isForwardable) return { ...common, kind: "write" };
  if (first.executes !== undefined) return { ...common, kind: "execute", executes: first.executes };
  if (first.transaction === "begin")
    return { ...common, kind: first.isReadOnly === true ? "readOnlyBegin" : "begin" };
  return { ...common, kind: "other" };
}

/** Of the text of a PREPARE, for the EXECUTE of it. */
export function preparedTextOf({ statements }: Classified): ForwardText {
  const only = statements.length === 1 ? statements[0] : undefined;
  const isWrite = only?.prepares?.isForwardable === true;
  return {
    ...unknownText,
    kind: isWrite ? "write" : "other",
    changesSession: false,
    tag: "EXECUTE",
  };
}

/**
 * Where one text is to run. Who is certain to be refused by a reader is forwarded; what may or may not write runs on the
 * reader, which refuses it (25006) if it does. A transaction is on one server: it is the writer's if its first statement
 * is a write. `isReader`: the session's own server is one.
 */
export function decideForward(
  text: ForwardText,
  { mode, isReader, place }: { mode: ConsistencyMode; isReader: boolean; place: ForwardPlace },
): ForwardDecision {
  if (place === "writing") {
    const error = refusalAtWriter(text);
    return error ? { kind: "refuse", error } : forward;
  }
  if (mode === "off" || !isReader || text.kind !== "write") return here;
  switch (place) {
    case "outside":
    case "begun":
      return forward;
    case "reading":
      return { kind: "refuse", error: hasReadError(text) };
    case "readOnly":
    case "failed":
      return here; // PostgreSQL's own words: 25006, 25P02
  }
}

/** What no statement may do that runs on the writer for a session whose state is elsewhere; undefined: it may run. */
export function refusalAtWriter(text: ForwardText): BorealisError | undefined {
  if (!text.changesSession) return undefined;
  return new BorealisError(
    sqlState.notSupported,
    `${text.tag === "" ? "a statement that is not understood" : text.tag} is not supported in a transaction that was forwarded to the writer`,
    { hint: "Run it before the transaction begins; SET LOCAL is possible." },
  );
}

function isRead({ kind }: StatementClass): boolean {
  return kind === "read";
}

/** Who chooses a weaker mode, resets the session or ends a transaction need not wait for anything. */
const quietTags =
  /^(?:SET|RESET|SHOW|DISCARD \w+|DEALLOCATE(?: ALL)?|LISTEN|UNLISTEN|CLOSE CURSOR(?: ALL)?)$/;
/** Roles are looked up when they are taken. */
const roleSettings = new Set(["role", "session_authorization"]);

function readsNothing({ kind, tag, settings }: StatementClass): boolean {
  if (kind === "transaction") return true;
  return quietTags.test(tag) && !settings.some(({ name }) => roleSettings.has(name));
}

function leavesSomething({ kind, sessionEffects, mayCommitInside }: StatementClass): boolean {
  return kind === "unknown" || sessionEffects.length > 0 || mayCommitInside;
}

function hasReadError({ tag }: ForwardText): BorealisError {
  return new BorealisError(
    sqlState.readOnly,
    `cannot execute ${tag === "" ? "this statement" : tag} in a read-only transaction`,
    {
      detail:
        "The transaction has run a statement on the reader: it cannot be forwarded to the writer any more.",
      hint: "Let the transaction begin with its first write, or run it at the writer endpoint.",
    },
  );
}
