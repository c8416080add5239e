import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { Postgres } from "../engine/index.ts";
import { sleep } from "../io/index.ts";
import type { PgClient } from "../wire/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import { bootstrapSql } from "./bootstrap.ts";
import type { Bootstrap } from "./messages.ts";
import { connectAgent } from "./postgres-shell.ts";
import { queryUntil } from "./query-until-shell.ts";
import { SurfaceBook } from "./surface-book.ts";
import { foreignText, hasOwnRole, planRoles, rolesQuery } from "./surface-roles.ts";
import {
  alwaysFiringQuery,
  beginPartSql,
  dropSql,
  firingSql,
  markSql,
  stepsDue,
  type SurfacePart,
  surfaceParts,
  type SurfaceStep,
} from "./surface-sql.ts";

/** A database may have been made from a template that had nothing of ours. */
const lookEveryMs = 5_000;
const template0 = "template0";
const badDefinition = "42P13";
/** Errors that may be gone in a moment: a lock, a deadlock, a connection. */
const passing = /^(08|40|53|55P03|57)/;

/** The first that has a setting by which no event trigger fires in our sessions: before it those that are ALWAYS do. */
const withoutEventTriggers = 17;
/** Nor does any other trigger fire. */
const sessionOptions = "-c session_replication_role=replica";

type Server = Pick<Postgres, "address" | "auroraSettings">;
interface Work {
  readonly engine: { readonly major: number };
  readonly postgres: Server;
  readonly deps: AgentDeps;
  readonly signal: AbortSignal;
}
/** `hasSurface`: whether any of it is to be there. */
type Wish = Work & { readonly hasSurface: boolean };

/** Of a new volume: its first sessions find all that it has, and the master user. `client`: of PostgreSQL's superuser. */
export async function bootstrapVolume(
  work: Wish & { readonly client: PgClient },
  bootstrap: Bootstrap,
): Promise<void> {
  if (work.hasSurface) await makeSurface(work, new SurfaceBook());
  await queryUntil(work.client, bootstrapSql(bootstrap), work.signal);
}

/**
 * Makes Aurora's functions, settings and roles wherever they are missing or of another version's making, and goes on looking: on
 * the writer, as what is made travels to the readers through the log.
 */
export async function keepSurface(work: Wish): Promise<void> {
  const { deps, signal } = work;
  if (!work.hasSurface) return;
  const book = new SurfaceBook();
  while (!signal.aborted) {
    await attempt("all", { ...work, book }, async () => {
      await makeSurface(work, book);
      book.made("all");
    });
    await sleep(deps.clock, lookEveryMs, signal);
  }
}

type Round = Work & { readonly book: SurfaceBook };

/** One round. What stands in the way of one thing is told in the log and costs no other; raises what stands in the way of all. */
export async function makeSurface(work: Work, book: SurfaceBook): Promise<void> {
  const round = { ...work, book };
  const client = await connectPlainly("postgres", work);
  try {
    await once("roles", round, () => makeRoles(work));
    const roles = await client.query(rolesQuery);
    const parts = surfaceParts({
      hasSuperuserRole: hasOwnRole(roles.rows, "rds_superuser"),
      settings: work.postgres.auroraSettings,
    });
    const databases = await client.query(
      "SELECT oid, datname FROM pg_catalog.pg_database WHERE (datallowconn OR datname = 'template0') " +
        "AND datconnlimit <> -2 ORDER BY datname <> 'template0', oid",
    );
    for (const [oid, name] of databases.rows) {
      if (oid == null || name == null || work.signal.aborted) continue;
      await once(oid, round, () =>
        name === template0 ? makeInTemplate0(client, work, parts) : makeIn(name, work, parts),
      );
    }
  } finally {
    client.destroy();
  }
}

/** Done once in a writer's life, and tried again until then. `name`: in the book. */
async function once(name: string, round: Round, make: () => Promise<void>): Promise<void> {
  const { book, deps } = round;
  if (!book.isDue(name, deps.clock.nowMs())) return;
  await attempt(name, round, async () => {
    await make();
    book.made(name);
  });
}

async function attempt(
  name: string,
  { book, deps, signal }: Round,
  make: () => Promise<void>,
): Promise<void> {
  try {
    await make();
  } catch (error) {
    const why = messageOf(error);
    if (book.failed(name, why, deps.clock.nowMs()) && !signal.aborted)
      deps.logger.warn({ event: "surface.notMade", what: name }, why);
  }
}

function connectPlainly(database: string, { postgres }: Work): Promise<PgClient> {
  return connectAgent(postgres, { database, options: sessionOptions });
}

/** Raises also where somebody's role has the name of one of ours: it may go away, and the log has it once. */
async function makeRoles(work: Work): Promise<void> {
  // Of its own: a failure leaves a transaction behind.
  const client = await connectPlainly("postgres", work);
  try {
    const { rows } = await client.query(rolesQuery);
    const { sql, lastQuery, foreign } = planRoles(rows, work.engine.major);
    if (sql !== undefined) {
      await queryUntil(client, sql, work.signal);
      await queryUntil(client, `${await askText(client, lastQuery)}; COMMIT`, work.signal);
    }
    if (foreign.length > 0)
      throw new BorealisError(sqlState.notInPrerequisiteState, foreignText(foreign));
  } finally {
    client.destroy();
  }
}

/**
 * pg_restore --create makes databases from it, and nobody may connect to it: it is opened for the moment, and only if template1,
 * which comes after it, has not everything either. The limit keeps out who could not have opened it, and tells our opening from
 * somebody's. Whatever happens ours is shut again, now or by the next writer.
 */
async function makeInTemplate0(
  client: PgClient,
  work: Work,
  parts: readonly SurfacePart[],
): Promise<void> {
  const { signal } = work;
  try {
    if (await hasAll("template1", work, parts).catch(() => false)) return;
    if (!(await isTemplate0(client, "datallowconn")))
      await queryUntil(
        client,
        "ALTER DATABASE template0 ALLOW_CONNECTIONS true CONNECTION LIMIT 0",
        signal,
      );
    await makeIn(template0, work, parts);
  } finally {
    await shutTemplate0(client, signal);
  }
}

async function isTemplate0(client: PgClient, condition: string): Promise<boolean> {
  const { rows } = await client.query(
    `SELECT ${condition} FROM pg_catalog.pg_database WHERE datname = '${template0}'`,
  );
  return rows[0]?.[0] === "t";
}

/** A superuser who has slipped in is put out: no database can be made from one that somebody is in. */
async function shutTemplate0(client: PgClient, signal: AbortSignal): Promise<void> {
  if (!(await isTemplate0(client, "datallowconn AND datconnlimit = 0"))) return;
  await queryUntil(
    client,
    "ALTER DATABASE template0 ALLOW_CONNECTIONS false CONNECTION LIMIT -1",
    signal,
  );
  await client.query(
    "SELECT pg_catalog.pg_terminate_backend(pid) FROM pg_catalog.pg_stat_activity WHERE datname = 'template0'",
  );
}

async function hasAll(
  database: string,
  work: Work,
  parts: readonly SurfacePart[],
): Promise<boolean> {
  const client = await connectPlainly(database, work);
  try {
    for (const part of parts) if ((await dueIn(client, part)).length > 0) return false;
    return true;
  } finally {
    client.destroy();
  }
}

async function dueIn(client: PgClient, part: SurfacePart): Promise<readonly SurfaceStep[]> {
  return stepsDue(part, (await client.query(part.foundQuery)).rows);
}

/** Each part is tried, whatever becomes of the others; raises the last failure. */
async function makeIn(database: string, work: Work, parts: readonly SurfacePart[]): Promise<void> {
  const failures: unknown[] = [];
  let client: PgClient | undefined;
  try {
    for (const part of parts)
      try {
        client ??= await connectPlainly(database, work);
        const steps = await dueIn(client, part);
        if (steps.length > 0) await makePart(client, { ...part, steps }, { ...work, database });
      } catch (error) {
        failures.push(error);
        // It may be in the midst of a transaction.
        client?.destroy();
        client = undefined;
      }
  } finally {
    client?.destroy();
  }
  if (failures.length > 0) throw failures.at(-1);
}

async function makePart(
  client: PgClient,
  part: SurfacePart,
  { deps, engine, signal, database }: Work & { readonly database: string },
): Promise<void> {
  await queryUntil(client, beginPartSql, signal);
  const firing =
    engine.major < withoutEventTriggers ? await askNames(client, alwaysFiringQuery) : [];
  if (firing.length > 0) await queryUntil(client, firingSql(firing, false), signal);
  const refused: string[] = [];
  for (const step of part.steps) {
    const why = await takeStep(client, step, signal);
    if (why === undefined) continue;
    refused.push(step.name);
    deps.logger.warn({ event: "surface.refused", database, what: step.name }, why);
  }
  const end = [markSql(part, refused), firingSql(firing, true), "COMMIT"];
  await queryUntil(client, end.filter((sql) => sql !== "").join("; "), signal);
  deps.logger.info({ event: "surface.made", database, part: part.name, mark: part.mark });
}

async function askNames(client: PgClient, sql: string): Promise<readonly string[]> {
  const { rows } = await client.query(sql);
  return rows.flatMap(([name]) => name ?? []);
}

/** The SQL that a query gives. */
async function askText(client: PgClient, sql: string): Promise<string> {
  const { rows } = await client.query(sql);
  return rows[0]?.[0] ?? "";
}

/** Gives why it cannot be done. Raises what may be gone when it is tried again. */
async function takeStep(
  client: PgClient,
  step: SurfaceStep,
  signal: AbortSignal,
): Promise<string | undefined> {
  const sql = step.isAsked ? await askText(client, step.sql) : step.sql;
  const drop = dropSql(step);
  const texts = drop === undefined ? [sql] : [sql, `${drop}; ${sql}`];
  let why: string | undefined;
  for (const text of texts) {
    try {
      await queryUntil(client, `SAVEPOINT step; ${text}; RELEASE step`, signal);
      return undefined;
    } catch (error) {
      if (!(error instanceof BorealisError) || passing.test(error.code)) throw error;
      await queryUntil(client, "ROLLBACK TO step; RELEASE step", signal);
      why = messageOf(error);
      if (error.code !== badDefinition) break;
    }
  }
  return why;
}
