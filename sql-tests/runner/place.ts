import { randomBytes } from "node:crypto";
import type { ServerFacts } from "./facts.ts";
import { Session } from "./session.ts";

export interface PlaceOptions {
  readonly url: string;
  readonly facts: ServerFacts;
  readonly timeoutMs: number;
  /** A database of its own instead of a schema. */
  readonly usesDatabase: boolean;
}

/** Where one file runs: a fresh schema or database, and the connections into it. On a reader nothing is made. */
export class Place {
  readonly schema: string;
  readonly database: string;
  readonly user: string;
  private readonly options: PlaceOptions;
  private readonly keeper: Session;
  private readonly sessions = new Map<string, Session>();

  private constructor(
    options: PlaceOptions,
    keeper: Session,
    names: { schema: string; database: string; user: string },
  ) {
    this.options = options;
    this.keeper = keeper;
    this.schema = names.schema;
    this.database = names.database;
    this.user = names.user;
  }

  static async make(options: PlaceOptions): Promise<Place> {
    const { url, timeoutMs, facts, usesDatabase } = options;
    const keeper = await Session.open({
      url,
      timeoutMs,
      database: undefined,
      searchPath: undefined,
    });
    const name = `sqltest_${randomBytes(6).toString("hex")}`;
    const user = (await keeper.value("SELECT session_user")) ?? "";
    const database = (await keeper.value("SELECT current_database()")) ?? "";
    if (facts.words.has("reader"))
      return new Place(options, keeper, { schema: "public", database, user });
    if (usesDatabase) {
      await keeper.value(`CREATE DATABASE ${name}`);
      return new Place(options, keeper, { schema: "public", database: name, user });
    }
    await keeper.value(`CREATE SCHEMA ${name}`);
    return new Place(options, keeper, { schema: name, database, user });
  }

  /** The connection of that name, opened if it is not. */
  async session(name: string): Promise<Session> {
    const known = this.sessions.get(name);
    if (known) return known;
    const { url, timeoutMs } = this.options;
    const searchPath = this.schema === "public" ? undefined : this.schema;
    const session = await Session.open({ url, timeoutMs, database: this.database, searchPath });
    this.sessions.set(name, session);
    return session;
  }

  async disconnect(name: string): Promise<void> {
    const session = this.sessions.get(name);
    this.sessions.delete(name);
    await session?.close();
  }

  /** Whether the session's backend waits for a lock right now. */
  async isBlocked(session: Session): Promise<boolean> {
    const pid = session.processId;
    const found = await this.keeper.value(
      `SELECT wait_event_type = 'Lock' FROM pg_catalog.pg_stat_activity WHERE pid = ${pid}`,
    );
    return found === "t";
  }

  async remove(): Promise<void> {
    for (const name of this.sessions.keys()) await this.disconnect(name);
    const isReader = this.options.facts.words.has("reader");
    if (!isReader && this.schema !== "public")
      await this.keeper.value(`DROP SCHEMA ${this.schema} CASCADE`);
    else if (!isReader) await this.keeper.value(`DROP DATABASE ${this.database} WITH (FORCE)`);
    await this.keeper.close();
  }
}
