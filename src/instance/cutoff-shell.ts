import { assert } from "../base/assert.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import { readControlFile } from "../engine/index.ts";
import type { Claimed } from "../log-driver/index.ts";
import { type PgClient, postmasterSql } from "../wire/index.ts";
import type { InstanceStatus } from "./messages.ts";

/** From which transaction id on a PostgreSQL gives out its own, and which start of it that is. */
export interface Cutoff {
  readonly nextXid: bigint;
  /** As session's fateQuery has it. */
  readonly postmaster: string;
}

/**
 * age(xid) counts from the next xid, in recovery too (GetStableLatestTransactionId): with an xid that is known in full,
 * that is the next one in full. (Ages of xids 0 to 2 are infinite; a snapshot never ends at one of those.)
 */
const nextXidSql =
  "WITH s AS (SELECT pg_catalog.pg_snapshot_xmax(pg_catalog.pg_current_snapshot()) AS x) " +
  "SELECT x::text, pg_catalog.age(pg_catalog.xid(x))::text, " +
  `${postmasterSql} FROM s`;

/**
 * Of a standby that has replayed all that it will be promoted with: exact, until it is promoted. One question, 0.1 ms;
 * the alternative is a search with pg_xact_status, which fails exactly from the next xid on.
 */
export async function readCutoff(client: PgClient): Promise<Cutoff> {
  const { rows } = await client.query(nextXidSql);
  const [anchor, age, postmaster] = rows[0] ?? [];
  assert(typeof anchor === "string" && typeof age === "string", "PostgreSQL has a snapshot");
  assert(typeof postmaster === "string", "PostgreSQL knows when it was started");
  return { nextXid: BigInt(anchor) + BigInt(age), postmaster };
}

/**
 * Of a PostgreSQL that has started in place, and may have given out transaction ids since (autovacuum does so at once):
 * recovery ends with a checkpoint before anybody can take one, a clean stop too, and an online one, which is told by its
 * redo before itself, is minutes away. Raises 55000 should it be one all the same.
 */
export async function readStartCutoff(client: PgClient, dataDir: string): Promise<Cutoff> {
  const { checkpointLsn, redoLsn, nextXid } = await readControlFile(dataDir);
  if (checkpointLsn !== redoLsn) {
    const why = "a checkpoint came before it was known which transaction ids are new";
    throw new BorealisError(sqlState.notInPrerequisiteState, why);
  }
  const { rows } = await client.query(`SELECT ${postmasterSql}`);
  const postmaster = rows[0]?.[0];
  assert(typeof postmaster === "string", "PostgreSQL knows when it was started");
  return { nextXid, postmaster };
}

/** What an instance tells of it. */
export function openingOf(
  { epoch, history, start }: Pick<Claimed, "epoch" | "history" | "start">,
  { nextXid, postmaster }: Cutoff,
): InstanceStatus["opening"] {
  const previous = history.findLast((entry) => entry.start < start)?.epoch ?? null;
  return { epoch, previous, nextXid: nextXid.toString(), postmaster };
}
