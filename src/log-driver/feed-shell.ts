import { BorealisError, sqlState } from "../base/errors.ts";
import type { Epoch } from "../base/ids.ts";
import { type Lsn, lsnMaxOf, lsnZero } from "../base/lsn.ts";
import { type Connection, listen, type Listener, sleep } from "../io/index.ts";
import type { History } from "../quorum/index.ts";
import type { StandbyFeedback, StandbyMessage } from "../wire/index.ts";
import { type FeedContext, FeedSession } from "./feed-session-shell.ts";
import type { FeedNodes } from "./feed-subscription-shell.ts";
import { FeedView, type OwnLog } from "./feed-view.ts";
import { inspectNode } from "./inspect-shell.ts";
import type { LogHold } from "./log-hold.ts";
import type { NodeEndpoint } from "./node-endpoint.ts";

export interface LogFeedOptions extends FeedNodes {
  /** The socket that the walreceiver dials: DIR/.s.PGSQL.5432. */
  readonly socketPath: string;
  /** The volume's PostgreSQL system identifier, as IDENTIFY_SYSTEM prints it. */
  readonly systemId: string;
  /** server_version that the feed claims: the engine's own. */
  readonly serverVersion: string;
  /** Whether an injected fault keeps log back. */
  readonly hold?: LogHold | undefined;
  /** Path of the reader's own log, if it is known. */
  readonly path?: History;
  /** hot_standby_feedback, as the standby sent it; the writer's driver is told of it elsewhere. */
  onFeedback?(feedback: StandbyFeedback): void;
  /** The reader has log that a backtrack removed: it must be rebuilt. */
  onPathChanged?(history: History): void;
}

/** What the standby said last. */
export interface FeedStatus {
  readonly write: Lsn;
  readonly flush: Lsn;
  /** Replay position. */
  readonly apply: Lsn;
  /** Monotonic milliseconds; 0 before the first word. */
  readonly heardMs: number;
  readonly isStreaming: boolean;
  /** Next LSN that will be sent; undefined while no standby streams. */
  readonly sent: Lsn | undefined;
  /** Highest VDL known here. */
  readonly vdl: Lsn;
  readonly epoch: Epoch;
  readonly cap: Lsn | undefined;
  readonly servedBy: string | undefined;
  readonly sentBytes: number;
  readonly connections: number;
  /** How often the node that served was left for one that had more. */
  readonly overtaken: number;
}

const askTimeoutMs = 1_000;
const graceMs = 20;
/** A walreceiver is kept waiting rather than refused: each refusal is two lines in PostgreSQL's log. */
const knownWithinMs = 5_000;

/**
 * The log feed of a reader: a walsender whose WAL comes from the storage nodes and stops at VDL. The listener stays up
 * whatever happens to nodes and standbys.
 */
export class LogFeed implements FeedContext {
  readonly nodes: FeedNodes;
  readonly view: FeedView;
  readonly systemId: string;
  readonly serverVersion: string;
  private readonly options: LogFeedOptions;
  private readonly sessions = new Set<FeedSession>();
  private listener: Listener | undefined;
  private isClosed = false;
  private standby = { write: lsnZero, flush: lsnZero, apply: lsnZero };
  private heardMs = 0;
  private sentBytes = 0;
  /** The standby may have log up to here, of the path that is known. */
  sentTo = lsnZero;
  private connections = 0;
  private overtaken = 0;
  private asking: Promise<void> | undefined;

  private constructor(options: LogFeedOptions) {
    this.options = options;
    this.nodes = options;
    this.systemId = options.systemId;
    this.serverVersion = options.serverVersion;
    this.view = new FeedView(options.path);
  }

  /** Listens. Raises the system's error if the socket cannot be made. */
  static async start(options: LogFeedOptions): Promise<LogFeed> {
    const feed = new LogFeed(options);
    const address = { kind: "unix" as const, path: options.socketPath };
    // Its folder is 0700 of the engine's user, who must be able to dial.
    feed.listener = await listen(address, (connection) => feed.accept(connection), { mode: 0o666 });
    return feed;
  }

  get status(): FeedStatus {
    const session = [...this.sessions].find(({ position }) => position !== undefined);
    return {
      ...this.standby,
      heardMs: this.heardMs,
      isStreaming: session !== undefined,
      sent: session?.position,
      vdl: this.view.vdl,
      epoch: this.view.epoch,
      cap: this.view.cap,
      servedBy: session?.servedBy,
      sentBytes: this.sentBytes,
      connections: this.connections,
      overtaken: this.overtaken,
    };
  }

  /**
   * Never feeds beyond `cap`, nor shows a timeline that begins there or later. Undefined takes it back. What was sent
   * before is not undone: look at the status.
   */
  setCap(cap: Lsn | undefined): void {
    this.view.cap = cap;
    for (const session of this.sessions) session.onCapMoved();
  }

  /**
   * Log that the standby has before it asks for any: a backtrack may remove it before a word is exchanged, and the number
   * of its timeline may be one of the path in its place. To be said before the standby runs.
   */
  follow(own: OwnLog): void {
    this.view.follow(own);
  }

  /** Asks the nodes how far readers may read; settles at the first answer. Raises 57P03 when none answers in time. */
  async inspect(): Promise<{ readonly vdl: Lsn; readonly epoch: Epoch; readonly path: History }> {
    await this.ask();
    return { vdl: this.view.vdl, epoch: this.view.epoch, path: this.view.visiblePath() };
  }

  async close(): Promise<void> {
    this.isClosed = true;
    await this.listener?.close();
    for (const session of this.sessions) session.close();
  }

  async refresh(): Promise<void> {
    // A standby that streams keeps the view fresh; one that begins must not be told of an old timeline.
    this.asking ??= this.ask().finally(() => {
      this.asking = undefined;
    });
    await this.asking;
  }

  holdsBack(): boolean {
    const { clock, rng } = this.nodes;
    return this.options.hold?.holds(clock.nowMs(), rng) ?? false;
  }

  onStandby(message: StandbyMessage): void {
    this.heardMs = this.nodes.clock.nowMs();
    if (message.kind === "feedback") this.options.onFeedback?.(message.feedback);
    else this.standby = { write: message.write, flush: message.flush, apply: message.apply };
  }

  onPathChanged(history: History): void {
    this.nodes.logger.warn(
      { event: "feed.pathChanged" },
      "the reader's log was removed by a backtrack",
    );
    this.options.onPathChanged?.(history);
  }

  onSent(sizeBytes: number, to: Lsn): void {
    this.sentBytes += sizeBytes;
    this.sentTo = lsnMaxOf(this.sentTo, to);
  }

  onOvertaken(): void {
    this.overtaken++;
  }

  private accept(connection: Connection): void {
    if (this.isClosed) return connection.destroy();
    this.connections++;
    const session = new FeedSession(connection, this, () => this.sessions.delete(session));
    this.sessions.add(session);
  }

  private async ask(): Promise<void> {
    const { clock } = this.nodes;
    const startMs = clock.nowMs();
    while (!this.isClosed && clock.nowMs() - startMs < knownWithinMs) {
      if (await this.askOnce()) return;
      await sleep(clock, 100);
    }
    throw new BorealisError(sqlState.cannotConnectNow, "no storage node says how far to read", {
      hint: "the volume has no open writer yet, or its nodes are down",
    });
  }

  /** False: nobody knew. One answer will do, but nodes that are nearly as quick may know of more. */
  private askOnce(): Promise<boolean> {
    const { clock, nodes } = this.nodes;
    return new Promise((resolve) => {
      let waiting = nodes.length;
      let isKnown = false;
      const hear = (didAnswer: boolean): void => {
        waiting--;
        if (didAnswer && this.view.isKnown && !isKnown) {
          isKnown = true;
          clock.after(graceMs, () => resolve(true));
        }
        if (waiting === 0) resolve(isKnown);
      };
      for (const endpoint of nodes) void this.inspectNode(endpoint).then(hear);
    });
  }

  /** False: no answer. */
  private async inspectNode(endpoint: NodeEndpoint): Promise<boolean> {
    const { clock, owner } = this.nodes;
    const state = await inspectNode(endpoint, owner, { clock, timeoutMs: askTimeoutMs });
    if (!state) return false;
    // A stream that begins anew asks for a timeline by number, and another path may have that number too.
    if (this.view.hasLeft(state, this.sentTo)) this.onPathChanged(state.history);
    return this.view.learn(state);
  }
}
