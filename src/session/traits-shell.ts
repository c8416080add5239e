import { messageOf } from "../base/errors.ts";
import type { Clock, Logger } from "../io/index.ts";
import { ClassificationCache, type Classified, classifyUnparsed } from "../route/index.ts";
import type { AdminSessions } from "./admin-shell.ts";
import { TextPlanner } from "./plan.ts";
import { type TraitChange, traitsDuring } from "./traits.ts";
import type { Target } from "./topology.ts";

/** What functions with dynamic SQL did to the catalogs is noticed by new sessions after so long. */
const maxAgeMs = 10_000;

const databasesMax = 500;

interface Known {
  readonly planner: TextPlanner;
  /** Sessions with a transaction that changes the traits. */
  readonly changing: Set<object>;
  sessions: number;
  learntAtMs: number | undefined;
  learning: Promise<void> | undefined;
}

/** The traits of each database that has sessions. While they are being changed, every doubt that this makes counts. */
export class TraitsBook {
  private readonly admin: AdminSessions;
  private readonly clock: Clock;
  private readonly logger: Logger;
  private readonly cache = new ClassificationCache();
  private readonly databases = new Map<string, Known>();

  constructor(admin: AdminSessions, clock: Clock, logger: Logger) {
    this.admin = admin;
    this.clock = clock;
    this.logger = logger;
  }

  /** As sessions see it. `isPlain` as for TextPlanner.plan. */
  classify(sql: string, isPlain: boolean): Classified {
    return isPlain ? this.cache.classify(sql) : classifyUnparsed(sql);
  }

  /** For a session that begins; `leave` when it ends. Resolves when the traits are known, or cannot be. */
  async enter(target: Target, database: string): Promise<TextPlanner> {
    const known = this.databases.get(database) ?? {
      planner: new TextPlanner(this.cache),
      changing: new Set<object>(),
      sessions: 0,
      learntAtMs: undefined,
      learning: undefined,
    };
    this.databases.set(database, known);
    known.sessions++;
    const ageMs =
      known.learntAtMs === undefined ? undefined : this.clock.nowMs() - known.learntAtMs;
    if (ageMs === undefined) await this.learn(target, database, known);
    else if (ageMs > maxAgeMs) void this.learn(target, database, known);
    return known.planner;
  }

  leave(database: string, session: object): void {
    const known = this.databases.get(database);
    if (!known) return;
    known.changing.delete(session);
    known.sessions--;
    // Kept for the next session, within reason.
    if (known.sessions <= 0 && this.databases.size > databasesMax) this.databases.delete(database);
  }

  changing(database: string, session: object, change: TraitChange): void {
    const known = this.databases.get(database);
    if (!known) return;
    known.changing.add(session);
    known.planner.learnTraits(traitsDuring(change, known.planner.traits));
  }

  settled(target: Target, database: string, session: object): void {
    const known = this.databases.get(database);
    if (known?.changing.delete(session) === true) void this.learn(target, database, known);
  }

  /** Never rejects: what is not known stays unknown, and every doubt then counts. */
  private learn(target: Target, database: string, known: Known): Promise<void> {
    known.learning ??= this.look(target, database, known).finally(() => {
      known.learning = undefined;
    });
    return known.learning;
  }

  private async look(target: Target, database: string, known: Known): Promise<void> {
    try {
      const startedAtMs = this.clock.nowMs();
      const traits = await this.admin.findTraits(target, database);
      if (known.changing.size > 0) return;
      known.planner.learnTraits(traits);
      known.learntAtMs = startedAtMs;
    } catch (error) {
      // The database may not exist: then PostgreSQL tells the client so.
      this.logger.debug({ event: "traits.unknown", reason: messageOf(error) });
    }
  }
}
