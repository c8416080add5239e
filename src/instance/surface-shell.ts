import { messageOf } from "../base/errors.ts";
import { auroraSettings, type Postgres } from "../engine/index.ts";
import { sleep } from "../io/index.ts";
import type { PgClient } from "../wire/index.ts";
import type { AgentDeps } from "./agent-deps-shell.ts";
import { bootstrapSql, quoteIdentifier } from "./bootstrap.ts";
import type { Bootstrap } from "./messages.ts";
import { connectAgent } from "./postgres-shell.ts";
import { queryUntil } from "./query-until-shell.ts";
import { rolesMissingQuery, rolesSql } from "./surface-roles.ts";
import {
  type SurfaceFacts,
  surfaceSql,
  surfaceVersion,
  surfaceVersionQuery,
} from "./surface-sql.ts";

/** A database may have been made from a template that had nothing of ours. */
const lookEveryMs = 5_000;
/** What a database's owner has set for its sessions, and event triggers, must not have a say. */
const plainSession =
  "-c session_replication_role=replica -c default_transaction_read_only=off -c statement_timeout=0 " +
  "-c default_transaction_deferrable=off -c search_path=pg_catalog -c check_function_bodies=on";

type Server = Pick<Postgres, "address">;
interface Work {
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
  if (work.hasSurface) await makeSurface(work, new Set());
  await queryUntil(work.client, bootstrapSql(bootstrap), work.signal);
}

/**
 * Makes Aurora's functions, settings and roles wherever they are missing or of another version, and goes on looking: on
 * the writer, as what is made travels to the readers through the log.
 */
export async function keepSurface(work: Wish): Promise<void> {
  const { deps, signal } = work;
  if (!work.hasSurface) return;
  const done = new Set<string>();
  let problem = "";
  while (!signal.aborted) {
    try {
      problem = await makeSurface(work, done);
    } catch (error) {
      const why = messageOf(error);
      if (!signal.aborted && why !== problem) deps.logger.warn({ event: "surface.notMade" }, why);
      problem = why;
    }
    await sleep(deps.clock, lookEveryMs, signal);
  }
}

/**
 * One round; `done`: numbers of the databases that are known to have it all. Gives what stood in the way of some of them,
 * "" if nothing did; raises what stood in the way of all.
 */
export async function makeSurface(work: Work, done: Set<string>): Promise<string> {
  const { deps, postgres, signal } = work;
  const client = await connectAgent(postgres);
  let problem = "";
  try {
    const facts = await readFacts(client);
    const databases = await client.query(
      "SELECT oid, datname FROM pg_catalog.pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY oid",
    );
    if (done.size === 0) await makeRoles(client, signal);
    for (const [oid, name] of databases.rows) {
      if (oid == null || name == null || done.has(oid) || signal.aborted) continue;
      try {
        await makeIn(name, { ...work, client, facts });
        done.add(oid);
      } catch (error) {
        problem = messageOf(error);
        deps.logger.info({ event: "surface.notMade", database: name }, problem);
      }
    }
  } finally {
    client.destroy();
  }
  return problem;
}

/** As this PostgreSQL was started: nobody sets them in a session of our own. */
async function readFacts(client: PgClient): Promise<SurfaceFacts> {
  const values = auroraSettings.map((name) => `pg_catalog.current_setting('${name}')`).join(", ");
  const { rows } = await client.query(`SELECT ${values}`);
  return {
    settings: new Map(auroraSettings.map((name, index) => [name, rows[0]?.[index] ?? ""])),
  };
}

async function makeRoles(client: PgClient, signal: AbortSignal): Promise<void> {
  const { rows } = await client.query(rolesMissingQuery);
  if (rows[0]?.[0] !== "0") await queryUntil(client, rolesSql(), signal);
}

async function makeIn(
  name: string,
  work: Work & { readonly client: PgClient; readonly facts: SurfaceFacts },
): Promise<void> {
  const { client, deps, facts, postgres, signal } = work;
  // Its sessions begin with what template1 has; pg_restore --create makes databases from template0.
  if (name !== "template1") return make(name, { postgres, facts, signal, deps });
  if ((await versionIn(name, postgres)) === surfaceVersion(facts)) return;
  const template = quoteIdentifier("template0");
  try {
    await queryUntil(client, `ALTER DATABASE ${template} ALLOW_CONNECTIONS true`, signal);
    await make("template0", { postgres, facts, signal, deps });
  } finally {
    await queryUntil(client, `ALTER DATABASE ${template} ALLOW_CONNECTIONS false`, signal);
  }
  await make(name, { postgres, facts, signal, deps });
}

async function versionIn(database: string, postgres: Server): Promise<string | null> {
  const client = await connectAgent(postgres, { database, options: plainSession });
  try {
    return (await client.query(surfaceVersionQuery)).rows[0]?.[0] ?? null;
  } finally {
    client.destroy();
  }
}

async function make(
  database: string,
  work: Work & { readonly facts: SurfaceFacts },
): Promise<void> {
  const { deps, facts, postgres, signal } = work;
  const client = await connectAgent(postgres, { database, options: plainSession });
  try {
    const { rows } = await client.query(surfaceVersionQuery);
    const wanted = surfaceVersion(facts);
    if (rows[0]?.[0] === wanted) return;
    await queryUntil(client, surfaceSql(facts), signal);
    deps.logger.info({ event: "surface.made", database, version: wanted });
  } finally {
    client.destroy();
  }
}
