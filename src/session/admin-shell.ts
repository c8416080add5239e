import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type Lsn, parseLsn } from "../base/lsn.ts";
import type { Clock, Logger } from "../io/index.ts";
import { connectPg, type PgClient, type PgResult } from "../wire/index.ts";
import type { RoleRecord } from "./authentication.ts";
import { driverName } from "../route/index.ts";
import { codeNamesQuery, parseCodeNames } from "./code-names.ts";
import { LoginLookups } from "./login-lookups-shell.ts";
import { hiddenStateQuery, parseHiddenState } from "./hidden-state.ts";
import { idleTimeoutSetting } from "./start-options.ts";
import type { DatabaseTraits } from "./traits.ts";
import { isTokenUserSql, type TokenLogins } from "./token-logins.ts";
import { isGone, type Target, type Topology } from "./topology.ts";

export const adminUser = "rdsadmin";
const applicationName = "borealis_endpoint";
const queryTimeoutMs = 10_000;
/** Whoever logs in waits for it. */
const traitsTimeoutMs = 10_000;

export interface AdminOptions {
  readonly topology: Topology;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether there is, and so has to be asked, who logs in by tokens. */
  readonly tokenLogins?: TokenLogins | undefined;
}

export interface Login {
  readonly role: RoleRecord | undefined;
  /** It logs in by a token, and by nothing else. */
  readonly needsToken: boolean;
  /** As its LOGIN attribute says. */
  readonly mayLogIn: boolean;
  /** "name=value" of the server, ALTER DATABASE and ALTER ROLE, the weakest first. */
  readonly settings: readonly string[];
  /** The same for all logins that PostgreSQL would give the same session; undefined: it would let this one in nowhere. */
  readonly stamp: string | undefined;
}

/** Kept rdsadmin sessions, for what the endpoint must know: wait events, positions, fates; and for logins one of their own. */
export class AdminSessions {
  private readonly options: AdminOptions;
  private readonly clients = new Map<string, { target: Target; opening: Promise<PgClient> }>();
  /** Whatever is under way, and how it is given up. */
  private readonly underWay = new Map<AbortController, Target>();
  /** Undefined of any of them: no instance is there to be asked. */
  readonly logins = new LoginLookups((user, database) => this.findLogin(user, database));

  constructor(options: AdminOptions) {
    this.options = options;
  }

  query(target: Target, sql: string): Promise<PgResult> {
    return this.queryBy(this.client(target), sql);
  }

  private async queryBy(connected: Promise<PgClient>, sql: string): Promise<PgResult> {
    const client = await connected;
    const timer = this.options.clock.after(queryTimeoutMs, () => client.destroy());
    try {
      return await client.query(sql);
    } finally {
      timer.cancel();
    }
  }

  /** From any live instance: roles are the same on all. Undefined: there is none. */
  private async findLogin(user: string, database: string): Promise<Login | undefined> {
    const { topology, logger, tokenLogins } = this.options;
    const sql = loginSql(user, database, { asksForTokens: tokenLogins !== undefined });
    // A reader only if need be: asking for one takes its turn among those that get connections.
    for (const choose of [() => topology.writer(), () => topology.reader()]) {
      const target = choose();
      if (!target) continue;
      try {
        // Crowds that log in keep nobody from a cancel, or from what became of a commit.
        return loginOf(await this.queryBy(this.client(target, "logins"), sql));
      } catch (error) {
        logger.warn({
          event: "login.lookupFailed",
          instance: target.instanceId,
          reason: messageOf(error),
        });
      }
    }
    return undefined;
  }

  /** Whether it takes new connections at this moment. */
  async isAlive(target: Target): Promise<boolean> {
    try {
      const client = await this.open(target, { timeoutMs: 1_000 });
      await client.close();
      return true;
    } catch {
      return false; // whatever the reason: that is the answer
    }
  }

  /** How many connections it takes for users. */
  async connectionsOf(target: Target): Promise<number> {
    const { rows } = await this.query(
      target,
      "SELECT pg_catalog.current_setting('max_connections')::int - pg_catalog.current_setting('superuser_reserved_connections')::int" +
        " - COALESCE(pg_catalog.current_setting('reserved_connections', true)::int, 0)",
    );
    return Number(rows[0]?.[0]);
  }

  /** What the backend with this pid waits for; undefined if it waits for nothing, or is gone. */
  async waitEvent(target: Target, pid: number): Promise<string | undefined> {
    const sql = `SELECT wait_event FROM pg_catalog.pg_stat_activity WHERE pid = ${pid}`;
    return (await this.query(target, sql)).rows[0]?.[0] ?? undefined;
  }

  /** Ends the backend with this pid: one that waits for a lock does not see that its client has gone. */
  async terminate(target: Target, pid: number): Promise<void> {
    await this.query(target, `SELECT pg_catalog.pg_terminate_backend(${pid})`);
  }

  /** How far a reader has replayed. */
  async replayedLsn(target: Target): Promise<Lsn> {
    const { rows } = await this.query(target, "SELECT pg_catalog.pg_last_wal_replay_lsn()");
    return parseLsn(rows[0]?.[0] ?? "");
  }

  /**
   * Up to where a writer's commits have been acknowledged, at least: what its log driver has told it, which PostgreSQL
   * releases them by. A record's end; the flush position may lie inside a record that is never finished.
   */
  async acknowledgedLsn(target: Target): Promise<Lsn> {
    const sql =
      "SELECT pg_catalog.max(flush_lsn) FROM pg_catalog.pg_stat_replication" +
      ` WHERE application_name = '${driverName}'`;
    const { rows } = await this.query(target, sql);
    return parseLsn(rows[0]?.[0] ?? "");
  }

  /** Looks into the catalogs of one database through a session that does not stay (it would block DROP DATABASE). */
  async findTraits(target: Target, database: string): Promise<DatabaseTraits> {
    const client = await this.open(target, { database, timeoutMs: traitsTimeoutMs });
    const over = this.begin(target, traitsTimeoutMs);
    over.signal.addEventListener("abort", () => client.destroy(), { once: true });
    if (over.signal.aborted) client.destroy();
    try {
      const { rows } = await client.query(traitsSql);
      const [hasTriggers, hasRules, relations] = rows[0] ?? [];
      const code = await client.query(codeNamesQuery);
      const hidden = await client.query(hiddenStateQuery);
      return {
        ...parseCodeNames(code.rows[0]),
        hasDeferrableTriggers: hasTriggers !== "f",
        hasRules: hasRules !== "f",
        relationsWithCode: new Set((relations ?? "").split("\n").filter((name) => name !== "")),
        hidden: parseHiddenState(hidden.rows[0]),
      };
    } finally {
      // Its goodbye is not answered where nothing is.
      if (over.signal.aborted) client.destroy();
      else await client.close();
      over.end();
    }
  }

  async close(): Promise<void> {
    const clients = [...this.clients.values()];
    this.clients.clear();
    for (const { opening } of clients) {
      const client = await opening.catch(() => undefined); // one that never opened needs no closing
      client?.destroy();
    }
  }

  /** Nobody waits any longer for an answer of those, nor for one that has not opened yet. */
  hangUp(isSilent: (target: Target) => boolean): void {
    for (const [giveUp, target] of this.underWay)
      if (isSilent(target)) giveUp.abort(silent(target));
    for (const [key, { target, opening }] of this.clients) {
      if (!isSilent(target)) continue;
      this.clients.delete(key);
      // One that never opens needs no closing.
      opening.then((client) => client.destroy()).catch(() => undefined);
    }
  }

  /** Its default of the idle timeout is what the server gives everybody; its own is none. */
  private async loginClient(target: Target): Promise<PgClient> {
    const client = await this.open(target, { timeoutMs: 5_000, except: [idleTimeoutSetting] });
    await client.query(`SET ${idleTimeoutSetting} = 0`);
    return client;
  }

  private client(target: Target, use: "" | "logins" = ""): Promise<PgClient> {
    const key = `${target.instanceId} ${target.incarnation} ${use}`;
    const known = this.clients.get(key);
    if (known) return known.opening;
    const opening =
      use === "logins" ? this.loginClient(target) : this.open(target, { timeoutMs: 5_000 });
    this.clients.set(key, { target, opening });
    const forget = (): void => {
      if (this.clients.get(key)?.opening === opening) this.clients.delete(key);
    };
    opening.then((client) => client.onClose(forget), forget);
    return opening;
  }

  /** Raises 08006 where it answers nothing: at once, where that is known. */
  private async open(
    target: Target,
    {
      database = "postgres",
      timeoutMs,
      except,
    }: {
      readonly database?: string;
      readonly timeoutMs: number;
      readonly except?: readonly string[];
    },
  ): Promise<PgClient> {
    if (isGone(this.options.topology, target)) throw silent(target);
    const over = this.begin(target, timeoutMs);
    try {
      return await connectPg({
        address: target.address,
        user: adminUser,
        database,
        applicationName,
        timeoutMs,
        signal: over.signal,
        ...(except && { except }),
      });
    } finally {
      over.end();
    }
  }

  /** Something that is given up after a while, or once the cluster says that it is in vain. */
  private begin(target: Target, withinMs: number): { signal: AbortSignal; end(): void } {
    const giveUp = new AbortController();
    const timer = this.options.clock.after(withinMs, () => giveUp.abort(silent(target)));
    this.underWay.set(giveUp, target);
    const end = (): void => {
      timer.cancel();
      this.underWay.delete(giveUp);
    };
    return { signal: giveUp.signal, end };
  }
}

function silent({ instanceId }: Target): BorealisError {
  return new BorealisError(sqlState.connectionFailure, `${instanceId} answers nothing`, {
    safeToRetry: true,
  });
}

function loginSql(
  user: string,
  database: string,
  { asksForTokens }: { readonly asksForTokens: boolean },
): string {
  // The idle timeout that users have: for the one transaction that these two are.
  return `SET LOCAL ${idleTimeoutSetting} TO DEFAULT; SELECT r.rolpassword, COALESCE(r.rolvaliduntil < pg_catalog.now(), false),
    (SELECT pg_catalog.string_agg(c, E'\\n' ORDER BY s.setrole <> 0 AND s.setdatabase <> 0, s.setrole <> 0, s.setdatabase <> 0)
       FROM pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c
      WHERE s.setrole IN (0, r.oid)
        AND s.setdatabase IN (0, COALESCE((SELECT oid FROM pg_catalog.pg_database WHERE datname = ${quoted(database)}), 0))
        AND (c ILIKE 'borealis.%' OR c ILIKE 'apg\\_write\\_forward.%' OR c ILIKE 'idle_session_timeout=%' OR c ILIKE 'synchronous_commit=%' OR c ILIKE 'client_min_messages=%'))
    ,(SELECT pg_catalog.concat_ws(' ', r.oid, d.oid, r.rolsuper, pg_catalog.md5(
        (SELECT pg_catalog.string_agg(pg_catalog.concat_ws(' ', s.setdatabase, s.setrole, s.setconfig::text), ' ' ORDER BY s.setdatabase, s.setrole)
          FROM pg_catalog.pg_db_role_setting s WHERE s.setrole IN (0, r.oid) AND s.setdatabase IN (0, d.oid))))
       FROM pg_catalog.pg_database d
      WHERE d.datname = ${quoted(database)} AND d.datallowconn AND r.rolcanlogin
        AND pg_catalog.has_database_privilege(r.oid, d.oid, 'CONNECT')),
    pg_catalog.current_setting('idle_session_timeout'),
    ${asksForTokens ? isTokenUserSql : "false"}, r.rolcanlogin
    FROM pg_catalog.pg_authid r WHERE r.rolname = ${quoted(user)}`;
}

/** The connection has standard_conforming_strings on: only quotes need care. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "''")}'`;
}

function loginOf(result: PgResult): Login {
  const [row] = result.rows;
  if (!row)
    return { role: undefined, needsToken: false, mayLogIn: false, settings: [], stamp: undefined };
  const [password = null, isExpired, settings, stamp, idleTimeout, needsToken, mayLogIn] = row;
  const stored = (settings ?? "").split("\n").filter((line) => line !== "");
  return {
    role: { password, isExpired: isExpired !== "f" },
    needsToken: needsToken !== "f",
    mayLogIn: mayLogIn === "t",
    settings: [`${idleTimeoutSetting}=${idleTimeout ?? 0}`, ...stored],
    stamp: stamp ?? undefined,
  };
}

// 16384 is FirstNormalObjectId: below it everything is the system's own.
const traitsSql = `SELECT
  EXISTS (SELECT FROM pg_catalog.pg_trigger WHERE tgdeferrable AND NOT tgisinternal),
  EXISTS (SELECT FROM pg_catalog.pg_rewrite WHERE ev_type <> '1' AND ev_class >= 16384),
  (SELECT pg_catalog.string_agg(relname, E'\\n') FROM pg_catalog.pg_class
    WHERE oid >= 16384 AND (relkind = 'v' OR relrowsecurity OR relkind = 'f'))`;

/** `detail`: why, if more is known. */
export function noInstance(detail?: string): BorealisError {
  return new BorealisError(sqlState.cannotConnectNow, "no instance accepts connections", {
    ...(detail !== undefined && { detail }),
    hint: "Try again; `borealis status` shows what is missing.",
  });
}
