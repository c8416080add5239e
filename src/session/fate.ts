/**
 * What became of a transaction whose writer is gone. Transaction ids are handed out again by the next writer, from where
 * the recovered log ends; so a transaction is (life of a PostgreSQL as the writer, xid), and each life has a *cutoff*:
 * the next xid when it began, before it gave out any (decisions.md D45; docs/decisions.md says how exact it is).
 */

import { postmasterSql } from "../wire/index.ts";

/** One PostgreSQL's life as the writer. */
export interface WriterLife {
  /** As Target has it. */
  readonly incarnation: string;
  readonly epoch: number;
  /** The first xid that it may have given out: what earlier lives gave out from here on left no trace in its log. */
  readonly cutoff: bigint;
  /** As its answer to fateQuery says: which PostgreSQL answered. */
  readonly postmaster: string;
}

/** Without asking anybody: `ask` a later writer by fateQuery; `unknown` may become one of the others with time. */
export type FateSight = "neverHappened" | "ask" | "unknown";

/** `prepared`: it waits for COMMIT PREPARED or ROLLBACK PREPARED, and is open still. */
export type Fate = "committed" | "aborted" | "neverHappened" | "prepared" | "unknown";

/**
 * `lives` in the order of their epochs, without a gap from the first to the last. Unknown while no later life is known,
 * and for a life that is not known, or known twice.
 */
export function fateOf(lives: readonly WriterLife[], incarnation: string, xid: bigint): FateSight {
  const later = livesAfter(lives, incarnation);
  if (later === undefined || later.length === 0) return "unknown";
  return later.some(({ cutoff }) => xid >= cutoff) ? "neverHappened" : "ask";
}

/** One row: status and postmaster, for readFate. It fails with 22023 on a PostgreSQL that began before that xid. */
export function fateQuery(xid: bigint): string {
  return `SELECT pg_catalog.pg_xact_status('${xid}'::pg_catalog.xid8), ${postmasterSql}`;
}

/**
 * What a row of fateQuery means. The answer is final: the log that the answering life began with stays. `askAgain`: who
 * answered is not known to be a later life, yet; the sockets of two lives have one name, so a new one may have answered.
 */
export function readFate(
  lives: readonly WriterLife[],
  transaction: { readonly incarnation: string; readonly xid: bigint },
  row: readonly (string | null)[],
): Fate | "askAgain" {
  const [status = null, postmaster] = row;
  const later = livesAfter(lives, transaction.incarnation);
  const answering = later?.findIndex((life) => life.postmaster === postmaster) ?? -1;
  if (later === undefined || answering < 0) return "askAgain";
  // Those behind it do not count: an answer given before they began is as true as one of theirs.
  const passed = later.slice(0, answering + 1);
  if (passed.some(({ cutoff }) => transaction.xid >= cutoff)) return "neverHappened";
  switch (status) {
    case "committed":
    case "aborted":
      return status;
    case "in progress":
      return "prepared";
    default:
      return "unknown"; // so old that its status is kept no more
  }
}

/** One row for readLivingFate: status, postmaster, and whether it waits for its second phase. */
export function livingFateQuery(xid: bigint): string {
  const short = xid & 0xffff_ffffn;
  return (
    `SELECT pg_catalog.pg_xact_status('${xid}'::pg_catalog.xid8), ${postmasterSql},` +
    ` EXISTS (SELECT FROM pg_catalog.pg_prepared_xacts WHERE transaction OPERATOR(pg_catalog.=) '${short}'::pg_catalog.xid)`
  );
}

/**
 * What a row of livingFateQuery means, of a transaction whose server process is gone while its PostgreSQL lives on: whether
 * it is committed *there*, which says nothing yet of the quorum. `askAgain`: another PostgreSQL has answered, or it is not over.
 */
export function readLivingFate(
  lives: readonly WriterLife[],
  incarnation: string,
  row: readonly (string | null)[],
): Fate | "askAgain" {
  const [status = null, postmaster, isPrepared] = row;
  const [own, ...others] = lives.filter((life) => life.incarnation === incarnation);
  if (!own || others.length > 0 || own.postmaster !== postmaster) return "askAgain";
  if (status === "committed" || status === "aborted") return status;
  if (status === "in progress") return isPrepared === "t" ? "prepared" : "askAgain";
  return "unknown";
}

function livesAfter(
  lives: readonly WriterLife[],
  incarnation: string,
): readonly WriterLife[] | undefined {
  const at = lives.findIndex((life) => life.incarnation === incarnation);
  if (at < 0 || lives.slice(at + 1).some((life) => life.incarnation === incarnation))
    return undefined;
  return lives.slice(at + 1);
}
