import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { Clock, Logger } from "../io/index.ts";
import type { AdminDatabase, AdminVisit, AdminVisitor, SessionRow } from "../session/index.ts";
import type { ListedSnapshot } from "../keeper/index.ts";
import type { ParameterRow, StatusReport } from "../cluster/index.ts";
import type { ClusterEvent } from "../events/index.ts";
import { AdminConnection } from "./admin-connection-shell.ts";
import type { Answer, Ask, CommandAsk } from "./ask.ts";
import {
  type Asker,
  ClusterCommands,
  type CommandDoer,
  type CommandWait,
} from "./cluster-commands-shell.ts";
import { AdminConversation } from "./conversation.ts";
import type { Outcome } from "./evaluation.ts";
import { EvaluatorThread } from "./evaluator-shell.ts";
import { Settings } from "./settings.ts";
import type { Sight, Source } from "./tables.ts";

/** Of all connections together. */
const keptBytesMax = 64 * 1024 * 1024;

export interface AdminDatabaseOptions {
  /** The only one who may come in. */
  readonly masterUser: string;
  /** PostgreSQL's, for drivers that ask. */
  readonly serverVersion: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Has the cluster do something. */
  readonly command: CommandDoer;
  /** Where rows come from. Each raises BorealisError if nobody answers. */
  readonly look: {
    readonly status: () => Promise<StatusReport>;
    readonly snapshots: () => Promise<readonly ListedSnapshot[]>;
    readonly parameters: () => Promise<readonly ParameterRow[]>;
    readonly events: () => Promise<readonly ClusterEvent[]>;
    readonly sessions: () => readonly SessionRow[];
  };
}

/** The database `borealis` of one proxy process; see docs/admin.md. */
export class AdminData implements AdminDatabase {
  readonly masterUser: string;
  private readonly options: AdminDatabaseOptions;
  private readonly evaluator: EvaluatorThread;
  private readonly commands: ClusterCommands;
  private readonly conversations = new Set<AdminConversation>();
  /** Whoever asks while it is under way is given the same: many may wait for their turn with it. */
  private readonly underWay = new Map<Source, Promise<Partial<Sight>>>();

  constructor(options: AdminDatabaseOptions) {
    this.options = options;
    this.masterUser = options.masterUser;
    this.evaluator = new EvaluatorThread(options);
    this.commands = new ClusterCommands(options);
  }

  /** Serves a client that has logged in, until one of the two ends it. */
  serve(visit: AdminVisit): AdminVisitor {
    const { user, database, pid, key, wishes, proof, remote } = visit;
    const { serverVersion, logger } = this.options;
    const settings = new Settings({ serverVersion, user }, wishes);
    const version = `PostgreSQL ${serverVersion} (Borealis: the admin database, which is not PostgreSQL's)`;
    const session = { user, database, pid, version, setting: (name: string) => settings.get(name) };
    const conversation = new AdminConversation({ session, settings, key });
    this.conversations.add(conversation);
    const onEnd = (): void => {
      this.conversations.delete(conversation);
      visit.onEnd();
    };
    const connection = new AdminConnection({ ...visit, onEnd }, conversation, {
      answer: (ask, wait) => {
        if (ask.kind !== "command") return this.answer(ask);
        const application = settings.get("application_name") ?? "";
        return this.haveDone(ask, { user, ...proof, remote, application }, wait);
      },
      onBug: (error) => logger.error({ event: "admin.broken", err: error }),
    });
    connection.start();
    return connection;
  }

  close(): void {
    this.evaluator.close();
  }

  private async haveDone({ order }: CommandAsk, by: Asker, wait: CommandWait): Promise<Answer> {
    return { kind: "lines", lines: await this.commands.run(order, by, wait) };
  }

  private async answer(ask: Exclude<Ask, CommandAsk>): Promise<Answer> {
    if (ask.kind === "turn") return ask;
    if (ask.kind === "prepare") return this.evaluator.evaluate(() => ask);
    const { sources, ...order } = ask;
    const asked = await this.asked(sources);
    const outcome = await this.evaluator.evaluate(() => ({
      ...order,
      sight: { ...asked, ...this.ownSight(sources) },
    }));
    this.requireRoomFor(outcome);
    return outcome;
  }

  /** What others have to be asked for. */
  private async asked(sources: ReadonlySet<Source>): Promise<Partial<Sight>> {
    try {
      const parts = await Promise.all([...sources].map((source) => this.askFor(source)));
      return Object.assign({}, ...parts) as Partial<Sight>; // the parts of one
    } catch (error) {
      const code = error instanceof BorealisError ? error.code : sqlState.internal;
      throw new BorealisError(code, `cannot look at the cluster: ${messageOf(error)}`, {
        cause: error,
        hint: "Try again; a control plane that has ended is started again by itself.",
      });
    }
  }

  private askFor(source: Source): Promise<Partial<Sight>> {
    const asked = this.underWay.get(source);
    if (asked) return asked;
    const asking = this.askAnew(source).finally(() => this.underWay.delete(source));
    this.underWay.set(source, asking);
    return asking;
  }

  private async askAnew(source: Source): Promise<Partial<Sight>> {
    const { look } = this.options;
    switch (source) {
      case "status":
        return { status: await look.status() };
      case "snapshots":
        return { snapshots: await look.snapshots() };
      case "parameters":
        return { parameters: await look.parameters() };
      case "events":
        return { events: await look.events() };
      case "sessions":
        return {};
    }
  }

  /** What this process knows. */
  private ownSight(sources: ReadonlySet<Source>): Pick<Sight, "nowUs" | "sessions"> {
    const { look, clock } = this.options;
    const nowUs = BigInt(Math.round(clock.wallMs() * 1000));
    return { nowUs, ...(sources.has("sessions") && { sessions: look.sessions() }) };
  }

  /** Raises 53200: clients that do not read could fill the process's memory together. */
  private requireRoomFor(outcome: Outcome): void {
    if (outcome.kind !== "rows") return;
    let bytes = outcome.rows.bytes.length;
    for (const one of this.conversations) bytes += one.keptBytes;
    if (bytes <= keptBytesMax) return;
    throw new BorealisError(
      sqlState.outOfMemory,
      "the admin database has too many results that clients have not read",
      { hint: "Try again later, or add LIMIT." },
    );
  }
}
