import type { NodeId, VolumeId } from "../base/ids.ts";
import {
  afterReading,
  type BlockingSocket,
  type Connection,
  type Logger,
  startWorker,
  takeFromLoop,
  type Timer,
  type WorkerThread,
} from "../io/index.ts";
import type {
  AppendLinkOrder,
  AppendWorkerReport,
  AppendWorkerSetup,
} from "./append-worker-shell.ts";
import type { LogStore } from "./log-store-shell.ts";
import type { SharedFaults } from "./shared-faults.ts";

/** What a node hears of its workers. */
export type WorkerReport = Exclude<
  AppendWorkerReport,
  { kind: "linkEnded" } | RecentReport | MarkReport
>;

/** Threads at most: one for the owner's link, the others for links of former owners that hang in their read. */
const workersMax = 3;

interface Seat {
  readonly worker: WorkerThread;
  serving: { readonly link: number; readonly socket: BlockingSocket } | undefined;
}

type RecentReport = Extract<AppendWorkerReport, { kind: "recent" }>;
type MarkReport = Extract<AppendWorkerReport, { kind: "mark" }>;

/** The append workers of a node and the links that they serve. */
export class AppendLinks {
  private readonly seats: Seat[] = [];
  private readonly options: AppendLinksOptions;
  private progress: Timer | undefined;

  constructor(options: AppendLinksOptions) {
    this.options = options;
    // One is warm before the first driver comes: a thread takes tens of milliseconds to start.
    if (options.hasWorkers) this.addSeat();
  }

  /**
   * Moves a link out of the event loop and to a worker. False: no worker is free, or the socket cannot be moved; the
   * event loop then serves it.
   */
  lend(link: number, connection: Connection, early: Buffer): boolean {
    if (!this.options.hasWorkers) return false;
    const seat =
      this.seats.find((one) => one.serving === undefined) ??
      (this.seats.length < workersMax ? this.addSeat() : undefined);
    if (!seat) return false;
    const socket = takeFromLoop(connection);
    seat.serving = { link, socket };
    const order: AppendLinkOrder = {
      kind: "link",
      link,
      fd: socket.fd,
      early: Buffer.concat([early, socket.early]),
    };
    seat.worker.post(order);
    return true;
  }

  private addSeat(): Seat {
    const { log, faults, volumeId, nodeId, markFd } = this.options;
    const setup: AppendWorkerSetup = {
      memory: log.shared.memory,
      keys: log.files.cipher.shared.memory,
      faults: faults.memory,
      holder: this.seats.length + 1,
      volumeId,
      nodeId,
      markFd,
    };
    const worker = startWorker({ name: "./append-worker-shell", base: import.meta.url }, setup);
    const seat: Seat = { worker, serving: undefined };
    // Only append-worker-shell.ts posts here.
    worker.onMessage((message) => this.onReport(seat, message as AppendWorkerReport));
    worker.onExit((error) => this.options.onFailed(error ?? new Error("append worker ended")));
    this.seats.push(seat);
    return seat;
  }

  /** Several may be there at once: what follows from all of them is done once. */
  private onRecent(report: RecentReport): void {
    this.options.log.recent.add(report.pieces, report.cuts);
    this.progress ??= afterReading(() => {
      this.progress = undefined;
      this.options.onReport({ kind: "progress" });
    });
  }

  private onReport(seat: Seat, report: AppendWorkerReport): void {
    if (report.kind === "recent") return this.onRecent(report);
    if (report.kind === "mark") return this.options.log.learn(report.sequence, report.place);
    if (report.kind !== "linkEnded") return this.options.onReport(report);
    const { serving } = seat;
    seat.serving = undefined;
    if (serving?.link !== report.link) return;
    const unread = Buffer.from(report.unread);
    const { logger } = this.options;
    logger.info({ event: "append.link_ended", link: report.link, reason: report.reason });
    if (unread.length === 0) return this.options.onEnded(report.link);
    this.options.onReturned(report.link, unread);
    serving.socket.giveBack();
  }
}

export interface AppendLinksOptions {
  /** False: every append link is served by the event loop. */
  readonly hasWorkers: boolean;
  readonly log: Pick<LogStore, "shared" | "recent" | "files" | "learn">;
  readonly faults: SharedFaults;
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
  readonly markFd: number;
  readonly logger: Logger;
  readonly onReport: (report: WorkerReport) => void;
  /** The peer has finished, or broke the protocol: the link is to be closed. */
  readonly onEnded: (link: number) => void;
  /** Something else than an Append came: the event loop goes on with these bytes. */
  readonly onReturned: (link: number, unread: Buffer) => void;
  readonly onFailed: (error: Error) => void;
}
