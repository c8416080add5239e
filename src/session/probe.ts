import {
  encodeBind,
  encodeClose,
  encodeExecute,
  encodeFlush,
  encodeFunctionCall,
  encodeParse,
  encodeSync,
} from "../wire/index.ts";

/**
 * What we ask the server, in the client's own session, in the same write as the client's messages: how will this
 * transaction commit? Two forms. A FunctionCall before a COMMIT is cheapest, and allowed only where nothing is
 * unsynced in an open transaction. The query goes into the middle of extended messages, under names of its own.
 */
export interface Answer {
  /** synchronous_commit at the end of the transaction. */
  readonly synchronousCommit: string;
  /** Null: it certainly has no transaction id so far. Undefined: not asked. */
  readonly xid: bigint | null | undefined;
  /** It had none until we asked, and has taken it for us: it has written nothing so far. */
  readonly isFresh?: boolean;
  /** Undefined: not asked. */
  readonly settings: HonestySettings | undefined;
}

/** The session's own wishes. */
export interface HonestySettings {
  readonly isForced: boolean;
  /** 0: never. */
  readonly commitTimeoutMs: number;
}

export const defaultHonesty: HonestySettings = { isForced: true, commitTimeoutMs: 0 };

// pg_proc.dat assigns them by hand; the same on every version from 15 to 18 (checked by test/endpoint.test.ts).
const currentSettingOid = 2077;
const currentXactIdIfAssignedOid = 5060;

const name = "borealis probe";
const ownId = "pg_catalog.pg_current_xact_id_if_assigned()";
const sql =
  `SELECT ${ownId},` +
  " pg_catalog.pg_my_temp_schema()," +
  " pg_catalog.current_setting('synchronous_commit')," +
  " pg_catalog.current_setting('borealis.force_durable_commit', true)," +
  " pg_catalog.current_setting('borealis.commit_timeout', true)";

/** The id, then synchronous_commit: each is a cycle of its own, and has an answer of its own before the COMMIT begins. */
export const functionProbe = Buffer.concat([
  encodeFunctionCall(currentXactIdIfAssignedOid, []),
  encodeFunctionCall(currentSettingOid, ["synchronous_commit"]),
]);

// Parsed each time: a DEALLOCATE ALL that a function hides would make Bind fail, and the client's transaction with it.
function encodeProbe(text: string): Buffer {
  return Buffer.concat([
    encodeParse(name, text),
    encodeBind(name, name),
    encodeExecute(name),
    encodeClose("portal", name),
    encodeClose("statement", name),
  ]);
}

const queryProbe = encodeProbe(sql);

/**
 * The Flush brings the answer before the commit begins: over a unix socket, where no answer has come there was no commit
 * either, whatever happens to the server. It costs a packet more.
 */
export const flushedQueryProbe = Buffer.concat([queryProbe, encodeFlush()]);

// What takes its id inside COMMIT would leave us without it; COALESCE looks at its second argument only if it has to.
const freshMark = " new";
const takenId = `COALESCE(${ownId}::pg_catalog.text, pg_catalog.concat(pg_catalog.pg_current_xact_id()::pg_catalog.text, '${freshMark}'))`;
const takingProbe = encodeProbe(sql.replace(ownId, takenId));
/** Likewise, of a transaction that takes an id inside its COMMIT if it has none: it takes it now. */
export const flushedTakingProbe = Buffer.concat([takingProbe, encodeFlush()]);

/** Answers of queryProbe that end a step: ParseComplete, BindComplete, CommandComplete, CloseComplete twice. */
export const queryProbeSteps = 5;

/** The query alone in a cycle of its own, for a COMMIT in an open transaction. */
export const syncedQueryProbe = Buffer.concat([queryProbe, encodeSync()]);
/** ... that takes its id now. */
export const syncedTakingProbe = Buffer.concat([takingProbe, encodeSync()]);

/** The same, in a cycle of its own, of the transaction that was prepared under `gid`; no id: there is none. */
export function preparedProbe(gid: string): Buffer {
  const hex = Buffer.from(gid).toString("hex");
  // xid is 32 bits of an id that lies less than that below the next one.
  const id =
    "(SELECT (n OPERATOR(pg_catalog.-) ((n OPERATOR(pg_catalog.-) transaction::pg_catalog.text::pg_catalog.int8)" +
    " OPERATOR(pg_catalog.%) '4294967296'::pg_catalog.int8))::pg_catalog.text" +
    " FROM pg_catalog.pg_prepared_xacts," +
    " (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot())::pg_catalog.text::pg_catalog.int8 AS n) x" +
    ` WHERE gid OPERATOR(pg_catalog.=) pg_catalog.convert_from(pg_catalog.decode('${hex}','hex'),'UTF8'))`;
  return Buffer.concat([encodeProbe(sql.replace(ownId, id)), encodeSync()]);
}

/** Of the two FunctionCalls: the second completes what the first has said. */
export function answerOfFunction(
  asks: "xid" | "synchronousCommit",
  value: string | null,
  before: Answer | undefined,
): Answer {
  const settings = undefined;
  if (asks === "xid") return { synchronousCommit: "on", xid: xidOf(value), settings };
  return { synchronousCommit: value ?? "on", xid: before?.xid, settings };
}

function xidOf(text: string | null | undefined): bigint | null {
  return text === null || text === undefined ? null : BigInt(text);
}

export function answerOfRow(values: readonly (string | null)[]): Answer {
  const [id, , synchronousCommit, force, timeout] = values;
  const isFresh = id?.endsWith(freshMark) === true;
  return {
    synchronousCommit: synchronousCommit ?? "on",
    xid: xidOf(isFresh ? id.slice(0, -freshMark.length) : id),
    isFresh,
    settings: {
      isForced: parseSwitch(force ?? undefined) ?? true,
      commitTimeoutMs: parseDurationMs(timeout ?? undefined) ?? 0,
    },
  };
}

/** What holds of both, where one cycle has two commits: of each fact the one that asks for more patience. */
export function worseOf(before: Answer | undefined, answer: Answer): Answer {
  if (!before) return answer;
  const levels = [before.synchronousCommit, answer.synchronousCommit];
  const lowest = levels.find((level) => level === "off") ?? levels.find(isLowered);
  return {
    ...answer,
    synchronousCommit: lowest ?? answer.synchronousCommit,
    // Null would say that neither wrote.
    xid: answer.xid === null ? before.xid : answer.xid,
    settings: answer.settings && {
      ...answer.settings,
      isForced: answer.settings.isForced || before.settings?.isForced === true,
    },
  };
}

/** Whether a commit with this setting returns before the quorum has it. */
export function isLowered(synchronousCommit: string): boolean {
  return synchronousCommit === "off" || synchronousCommit === "local";
}

/** A boolean as PostgreSQL takes it; undefined if it is none (the safe default then holds). */
export function parseSwitch(text: string | undefined): boolean | undefined {
  const value = text?.trim().toLowerCase();
  if (!value) return undefined;
  if (value === "on" || value === "1" || "true".startsWith(value) || "yes".startsWith(value))
    return true;
  if (value === "0" || "false".startsWith(value) || "no".startsWith(value)) return false;
  return value === "of" || value === "off" ? false : undefined;
}

const unitMs: Readonly<Record<string, number>> = {
  us: 0.001,
  ms: 1,
  s: 1000,
  min: 60_000,
  h: 3_600_000,
  d: 86_400_000,
};

/** A time as PostgreSQL's settings take it: a bare number is milliseconds. Undefined if it is none. */
export function parseDurationMs(text: string | undefined): number | undefined {
  const parts = /^\s*(\d+(?:\.\d+)?)\s*(us|ms|s|min|h|d)?\s*$/.exec(text ?? "");
  if (!parts) return undefined;
  const ms = Number(parts[1]) * (unitMs[parts[2] ?? "ms"] ?? 1);
  return Math.min(ms, 0x7fff_ffff);
}
