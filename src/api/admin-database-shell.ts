import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { Clock, Logger } from "../io/index.ts";
import type { AdminDatabase, AdminVisit, AdminVisitor, SessionRow } from "../session/index.ts";
import type { SnapshotRow } from "../keeper/index.ts";
import type { StatusReport } from "../cluster/index.ts";
import { AdminConnection } from "./admin-connection-shell.ts";
import { AdminConversation, type Answer, type Ask } from "./conversation.ts";
import { EvaluatorThread } from "./evaluator-shell.ts";
import { Settings } from "./settings.ts";
import type { Sight, Source } from "./tables.ts";

export interface AdminDatabaseOptions {
  /** The only one who may come in. */
  readonly masterUser: string;
  /** PostgreSQL's, for drivers that ask. */
  readonly serverVersion: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Where rows come from. Each raises BorealisError if nobody answers. */
  readonly look: {
    readonly status: () => Promise<StatusReport>;
    readonly snapshots: () => Promise<readonly SnapshotRow[]>;
    readonly sessions: () => readonly SessionRow[];
  };
}

/** The database `borealis` of one proxy process; see docs/admin.md. */
export class AdminData implements AdminDatabase {
  readonly masterUser: string;
  private readonly options: AdminDatabaseOptions;
  private readonly evaluator: EvaluatorThread;

  constructor(options: AdminDatabaseOptions) {
    this.options = options;
    this.masterUser = options.masterUser;
    this.evaluator = new EvaluatorThread(options);
  }

  /** Serves a client that has logged in, until one of the two ends it. */
  serve(visit: AdminVisit): AdminVisitor {
    const { user, database, pid, key, wishes } = visit;
    const { serverVersion, logger } = this.options;
    const settings = new Settings({ serverVersion, user }, wishes);
    const version = `PostgreSQL ${serverVersion} (Borealis: the admin database, which is not PostgreSQL's)`;
    const session = { user, database, pid, version, setting: (name: string) => settings.get(name) };
    const conversation = new AdminConversation({ session, settings, key });
    const connection = new AdminConnection(visit, conversation, {
      answer: (ask) => this.answer(ask),
      onBug: (error) => logger.error({ event: "admin.broken", err: error }),
    });
    connection.start();
    return connection;
  }

  close(): void {
    this.evaluator.close();
  }

  private async answer(ask: Ask): Promise<Answer> {
    if (ask.kind === "turn") return ask;
    if (ask.kind === "prepare") return this.evaluator.evaluate(ask);
    const { sources, ...order } = ask;
    return this.evaluator.evaluate({ ...order, sight: await this.sight(sources) });
  }

  private async sight(sources: ReadonlySet<Source>): Promise<Sight> {
    const { look, clock } = this.options;
    const nowUs = BigInt(Math.round(clock.wallMs() * 1000));
    try {
      const [status, snapshots] = await Promise.all([
        sources.has("status") ? look.status() : undefined,
        sources.has("snapshots") ? look.snapshots() : undefined,
      ]);
      return {
        nowUs,
        ...(status && { status }),
        ...(snapshots && { snapshots }),
        ...(sources.has("sessions") && { sessions: look.sessions() }),
      };
    } catch (error) {
      const code = error instanceof BorealisError ? error.code : sqlState.internal;
      throw new BorealisError(code, `cannot look at the cluster: ${messageOf(error)}`, {
        cause: error,
        hint: "Try again; a control plane that has ended is started again by itself.",
      });
    }
  }
}
