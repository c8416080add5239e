import { BorealisError, sqlState } from "../base/errors.ts";
import { formatLsn, type Lsn, parseLsn } from "../base/lsn.ts";
import { toPathText } from "../instance/index.ts";
import { type Clock, foundWithin, type RpcHandler, type RpcPeer, sleep } from "../io/index.ts";
import {
  type ExtentReport,
  type KeeperReport,
  type ListedSnapshot,
  snapshotReachedSchema,
  snapshotRowsSchema,
} from "../keeper/index.ts";
import type { History } from "../quorum/index.ts";
import type { KeeperLine } from "./keeper-line-shell.ts";
import type { Retention } from "./retention-shell.ts";

const listAnswerMs = 60_000;
const eventsAnswerMs = 5_000;
const progressEveryMs = 250;
/** A keeper that has just been started, or whose control plane has, is there by then. */
const keeperWithinMs = 10_000;

type NamedSnapshot = Pick<ListedSnapshot, "id" | "kind">;

/** What the command line asks of snapshots, passed on to the keeper; and what the keeper's report means to the others. */
export class SnapshotDesk {
  private readonly clock: Clock;
  private readonly keeper: Pick<KeeperLine, "client" | "report">;
  private readonly retention: Pick<Retention, "setSnapshotLsn">;
  /** As it was told last: a keeper that is being started again has not lost any. */
  count = 0;
  /** Likewise; null: nobody has counted them yet. */
  extents: ExtentReport | null = null;
  /** When the newest one was taken, likewise; null: there is none, or nobody has looked. */
  newestTime: string | null = null;
  /** Likewise, without those that users took. */
  automaticTime: string | null = null;

  constructor(
    clock: Clock,
    keeper: Pick<KeeperLine, "client" | "report">,
    retention: Pick<Retention, "setSnapshotLsn">,
  ) {
    this.clock = clock;
    this.keeper = keeper;
    this.retention = retention;
  }

  /** While nothing is told, log is kept from where it was kept before. */
  takeReport(report: KeeperReport | undefined): void {
    if (!report) return;
    this.count = report.snapshots ?? this.count;
    this.extents = report.extents ?? this.extents;
    this.newestTime = report.newestTime ?? this.newestTime;
    this.automaticTime = report.automaticTime ?? this.automaticTime;
    if (report.logFrom !== null) this.retention.setSnapshotLsn(parseLsn(report.logFrom));
  }

  private listed: { readonly key: string; readonly rows: NamedSnapshot[] } | undefined;

  /** All there are; asked for only when there may be others than the last time. Undefined: nobody says at the moment. */
  async namesNow(): Promise<NamedSnapshot[] | undefined> {
    const key = `${this.count} ${this.newestTime}`;
    if (this.listed?.key === key) return this.listed.rows;
    const { client } = this.keeper;
    if (!client) return undefined;
    const timeoutMs = eventsAnswerMs;
    const answer = await client.call("snapshotList", {}, { timeoutMs }).catch(() => undefined);
    const parsed = snapshotRowsSchema.safeParse(answer);
    if (!parsed.success) return undefined;
    this.listed = { key, rows: parsed.data };
    return parsed.data;
  }

  /**
   * The lowest LSN of a path that a snapshot leads to, by log from `base` on; undefined: none leads anywhere. Raises 57P03 if no
   * keeper comes, or it has not looked yet.
   */
  async reach(path: History, base: Lsn): Promise<Lsn | undefined> {
    const wish = { path: toPathText(path), base: formatLsn(base) };
    const answer = await this.ask("snapshotReach", wish, listAnswerMs);
    const { from } = snapshotReachedSchema.parse(answer);
    return from === null ? undefined : parseLsn(from);
  }

  readonly handlers: Readonly<Record<string, RpcHandler>> = {
    snapshotList: () => this.ask("snapshotList", {}, listAnswerMs),
    snapshotCreate: (params, peer) => this.withProgress(this.ask("snapshotCreate", params), peer),
    snapshotDelete: (params, peer) => this.withProgress(this.ask("snapshotDelete", params), peer),
  };

  private async ask(method: string, params: unknown, timeoutMs?: number): Promise<unknown> {
    const bounds = { withinMs: keeperWithinMs };
    const client = await foundWithin(this.clock, () => this.keeper.client, bounds);
    if (client) return client.call(method, params, timeoutMs === undefined ? {} : { timeoutMs });
    throw new BorealisError(sqlState.cannotConnectNow, "the keeper does not run", {
      hint: "it is started again by itself: try again; borealis logs keeper says why it ended",
    });
  }

  /** Tells the peer meanwhile what the keeper does; it may have other jobs before this one. */
  private async withProgress(answer: Promise<unknown>, peer: RpcPeer): Promise<unknown> {
    let isOver = false;
    const over = answer.finally(() => {
      isOver = true;
    });
    over.catch(() => undefined);
    while (!isOver && !peer.signal.aborted) {
      const job = this.keeper.report?.job;
      if (job) peer.tell("progress", job);
      await Promise.race([over.catch(() => undefined), sleep(this.clock, progressEveryMs)]);
    }
    return over;
  }
}
