import { messageOf } from "../base/errors.ts";
import {
  type ClusterEvent,
  type ClusterSight,
  EventBook,
  eventsMax,
  eventsUsual,
  EventWatch,
  type HealedSight,
  parseEvents,
} from "../events/index.ts";
import { type Clock, type Logger, type RpcHandler, sleep } from "../io/index.ts";
import type { KeeperReport } from "../keeper/index.ts";
import type { StatusReport } from "./status-messages.ts";
import type { StatusFacts } from "./status.ts";
import { z } from "zod";

/** Where events are kept: one JSON document a line. Each raises the system's error. */
export interface EventFile {
  /** "" if there is none. */
  readonly read: () => string;
  readonly append: (text: string) => void;
  readonly replace: (text: string) => void;
}

export interface EventsOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly file: EventFile;
  /** As it was at the start: its name stays. */
  readonly state: { readonly clusterId: string };
  /** What has to be asked for elsewhere. */
  readonly parts: () => Promise<Parts>;
  readonly status: (parts: Parts) => StatusReport;
  readonly snapshots: () => Promise<ClusterSight["snapshots"]>;
  /** By the endpoints, since their process started; undefined: nobody says. */
  readonly loginsRefused: () => number | undefined;
  readonly connectionsRefused: () => number | undefined;
  /** Likewise of records of the audit. */
  readonly auditLost: () => number | undefined;
  /** By the keeper, since its process began; undefined: it does not say. */
  readonly healedObjects: () => KeeperReport["healed"] | undefined;
}

type Parts = Pick<StatusFacts, "nodes" | "processes">;

const everyMs = 1_000;
/** Every so many looks storage nodes and processes are asked, too. */
const thoroughEvery = 5;

const eventsRequestSchema = z.object({
  sinceMs: z.number().default(0),
  limit: z.number().int().min(1).max(eventsMax).default(eventsUsual),
});

/** As long as names and commands may be. */
const commandAskedSchema = z.object({
  user: z.string().max(1_000),
  /** Whose token it was. */
  principal: z.string().max(1_000).optional(),
  text: z.string().max(1_000),
});

/** Looks at the cluster once a second, and writes down what has happened to it. */
export class Events {
  private readonly options: EventsOptions;
  private readonly watch = new EventWatch();
  private readonly book: EventBook;
  /** As it was found last. */
  private asked: (Parts & Pick<ClusterSight, "snapshots" | "healed">) | undefined;
  private looking: Promise<void> = Promise.resolve();
  private toldProblem = "";

  constructor(options: EventsOptions) {
    this.options = options;
    const { events, lines } = this.read();
    this.book = new EventBook(events, lines);
  }

  readonly handlers: Readonly<Record<string, RpcHandler>> = {
    events: (params) => {
      const { sinceMs, limit } = eventsRequestSchema.parse(params ?? {});
      return this.book.list(sinceMs, limit);
    },
    commandAsked: (params) => this.takeCommand(commandAskedSchema.parse(params)),
  };

  /** What somebody asked for in SQL: what it does is told by itself. */
  private takeCommand({ user, principal, text }: z.infer<typeof commandAskedSchema>): void {
    const time = new Date(this.options.clock.wallMs()).toISOString();
    const who = principal === undefined ? user : `${user} (by a token of ${principal})`;
    const message = `${who} asked for ${text} in the admin database.`;
    const source = this.options.state.clusterId;
    this.take([{ time, sourceType: "cluster", source, category: "notification", message }]);
  }

  async run(signal: AbortSignal): Promise<void> {
    for (let count = 0; !signal.aborted; count++) {
      await this.look(count % thoroughEvery === 0);
      await sleep(this.options.clock, everyMs, signal).catch(() => undefined);
    }
  }

  /** Something has changed: a short-lived state would not be seen by the look of each second. */
  lookNow(): void {
    void this.look(false);
  }

  /** One after the other, or what is seen later would be compared with what was seen earlier still. */
  private look(isThorough: boolean): Promise<void> {
    this.looking = this.looking.then(async () => {
      const { clock, logger } = this.options;
      try {
        const sight = await this.see(isThorough);
        this.take(this.watch.look(sight, clock.wallMs()));
      } catch (error) {
        logger.debug({ event: "events.notSeen" }, messageOf(error));
      }
    });
    return this.looking;
  }

  private async see(isThorough: boolean): Promise<ClusterSight> {
    const { parts, status, snapshots, loginsRefused, connectionsRefused, auditLost } = this.options;
    if (isThorough || !this.asked) {
      const [found, names] = await Promise.all([parts(), snapshots()]);
      const healed = healedIn(found, this.options.healedObjects());
      this.asked = { ...found, snapshots: names, healed };
    } else if (!this.asked.snapshots) {
      // The keeper starts when the control plane does: a snapshot taken before the first list is known would be no news.
      this.asked = { ...this.asked, snapshots: await snapshots() };
    }
    const { cluster, instances, storage, endpoints, volume } = status(this.asked);
    return {
      cluster,
      instances,
      storage,
      endpoints,
      snapshots: this.asked.snapshots,
      damage: volume.damage,
      volumeProblem: volume.problem,
      archiveProblem: volume.archive?.problem ?? null,
      loginsRefused: loginsRefused(),
      connectionsRefused: connectionsRefused(),
      auditLost: auditLost(),
      healed: this.asked.healed ?? [],
    };
  }

  /** What nobody can see by looking. */
  note(news: readonly Omit<ClusterEvent, "time">[]): void {
    const time = new Date(this.options.clock.wallMs()).toISOString();
    this.take(news.map((one) => ({ time, ...one })));
  }

  private read(): ReturnType<typeof parseEvents> {
    try {
      return parseEvents(this.options.file.read());
    } catch (error) {
      this.noteProblem(messageOf(error));
      return { events: [], lines: 0 };
    }
  }

  private take(events: readonly ClusterEvent[]): void {
    const { append, whole } = this.book.add(events, this.options.clock.wallMs());
    try {
      if (whole !== undefined) this.options.file.replace(whole);
      else if (append !== undefined) this.options.file.append(append);
    } catch (error) {
      // They are shown for as long as this process runs.
      this.noteProblem(messageOf(error));
    }
  }

  private noteProblem(problem: string): void {
    if (problem === this.toldProblem) return;
    this.toldProblem = problem;
    this.options.logger.warn({ event: "events.notWritten" }, problem);
  }
}

/**
 * What storage nodes and the keeper say that they have made whole, and which processes they are. Nothing of one whose process nobody
 * tells: it would seem to be another one.
 */
function healedIn(
  { nodes, processes }: Parts,
  objects: KeeperReport["healed"] | undefined,
): readonly HealedSight[] {
  const sightOf = (
    name: string,
    { node, what, total }: Omit<HealedSight, "process">,
  ): HealedSight[] => {
    const pid = processes.get(name)?.pid;
    return typeof pid === "number" ? [{ node, what, process: `${pid}`, total }] : [];
  };
  const stores = objects ? [null, ...nodes.keys()] : [];
  return [
    ...[...nodes].flatMap(([node, { healed: total }]) =>
      sightOf(node, { node, what: "log", total }),
    ),
    // A store that is not named has been well.
    ...stores.flatMap((node) => {
      const total = objects?.find((one) => one.node === node)?.count ?? 0;
      return sightOf("keeper", { node, what: "objects", total });
    }),
  ];
}
