import { unreachable } from "../base/assert.ts";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { Timeline } from "../base/ids.ts";
import { advance, type Lsn, lsn, lsnMaxOf } from "../base/lsn.ts";
import type { Connection, Timer } from "../io/index.ts";
import type { FeedData, History, Run, State, TimelineSpan } from "../quorum/index.ts";
import {
  encodeCopyBoth,
  encodeCopyDone,
  encodeIdentifyReply,
  encodeKeepalive,
  encodeNextTimeline,
  encodeTimelineHistoryReply,
  encodeWalHeader,
  encodeWalsenderError,
  encodeWalsenderGreeting,
  encryptionRefused,
  parseReplicationCommand,
  type ReplicationCommand,
  type StandbyMessage,
  WalReceiverFramer,
  type WalReceiverMessage,
} from "../wire/index.ts";
import { pageBytes, safeCut } from "../wal/index.ts";
import { findHistoryFile, historyFileName } from "./feed-history.ts";
import { cutRun, type FeedNodes, FeedSubscription } from "./feed-subscription-shell.ts";
import type { FeedView } from "./feed-view.ts";

/** As PostgreSQL's own walsender cuts: 128 kB, at a page's boundary. */
const chunkBytesMax = 128 * 1024;
const nothing = Buffer.alloc(0);
const keepaliveMs = 1_000;
/** Log that an injected fault keeps back is asked for again so soon. */
const heldBackMs = 500;

/** What all sessions of one feed share. */
export interface FeedContext {
  readonly nodes: FeedNodes;
  readonly view: FeedView;
  readonly systemId: string;
  readonly serverVersion: string;
  /** Asks nodes until the view is known. Raises 57P03 when none answers in time. */
  refresh(): Promise<void>;
  /** Asked for each piece of log. */
  holdsBack(): boolean;
  onStandby(message: StandbyMessage): void;
  onPathChanged(history: History): void;
  /** The standby may have log up to here. */
  readonly sentTo: Lsn;
  onSent(sizeBytes: number, to: Lsn): void;
  /** The node that served was left for one that has more. */
  onOvertaken(): void;
}

type Phase =
  | { readonly kind: "idle" }
  | { readonly kind: "busy" }
  | Streaming
  /** CopyDone is sent; the receiver's own ends the copy. */
  | { readonly kind: "ending"; readonly next: TimelineSpan }
  | { readonly kind: "closed" };

interface Streaming {
  readonly kind: "streaming";
  readonly timeline: Timeline;
  /** Where the next byte to take lies. */
  at: Lsn;
  /** What came last before that and is not sent yet: less than a page. */
  rest: Buffer;
  /** Undefined while held at the limit: log that came and may not go out yet was dropped, and is asked for again. */
  subscription: FeedSubscription | undefined;
}

/** One walreceiver's conversation. */
export class FeedSession {
  private readonly connection: Connection;
  private readonly context: FeedContext;
  private readonly framer = new WalReceiverFramer();
  private phase: Phase = { kind: "idle" };
  private keepalive: Timer | undefined;
  private heldBack: Timer | undefined;

  constructor(connection: Connection, context: FeedContext, onClosed: () => void) {
    this.connection = connection;
    this.context = context;
    connection.onClose(() => {
      this.stop();
      onClosed();
    });
    connection.onEnd(() => connection.end());
    connection.onDrain(() => {
      if (this.phase.kind === "streaming") this.phase.subscription?.resume();
    });
    connection.onData((chunk) => {
      try {
        this.framer.push(chunk, (message) => this.onMessage(message));
      } catch (error) {
        if (!(error instanceof BorealisError)) throw error;
        connection.destroy(error);
      }
    });
  }

  /** Next LSN to send; undefined while not streaming. */
  get position(): Lsn | undefined {
    return this.phase.kind === "streaming" ? sentTo(this.phase) : undefined;
  }

  get servedBy(): string | undefined {
    return this.phase.kind === "streaming" ? this.phase.subscription?.servedBy : undefined;
  }

  /** The cap moved: what was held at the old one may go out. */
  onCapMoved(): void {
    if (this.phase.kind !== "streaming") return;
    this.endTimelineIfReached(this.phase);
    if (this.phase.kind === "streaming" && !this.phase.subscription) this.subscribe(this.phase);
  }

  close(): void {
    this.connection.destroy();
  }

  private stop(): void {
    if (this.phase.kind === "streaming") this.phase.subscription?.close();
    this.phase = { kind: "closed" };
    this.keepalive?.cancel();
    this.heldBack?.cancel();
  }

  private onMessage(message: WalReceiverMessage): void {
    switch (message.kind) {
      case "encryptionRequest":
        this.connection.write(encryptionRefused);
        return;
      case "startup":
        this.connection.write(encodeWalsenderGreeting(this.context.serverVersion));
        return;
      case "query":
        this.onQuery(message.text);
        return;
      case "standby":
        this.context.onStandby(message.message);
        return;
      case "copyDone":
        return this.onCopyDone();
      case "goodbye":
        return this.connection.end();
      default:
        return unreachable(message);
    }
  }

  private onQuery(text: string): void {
    const command = parseReplicationCommand(text);
    if (this.phase.kind !== "idle") {
      return this.refuse(new BorealisError(sqlState.protocolViolation, "a command is under way"));
    }
    if (!command) {
      const why = "the log feed takes IDENTIFY_SYSTEM, TIMELINE_HISTORY and START_REPLICATION";
      return this.refuse(new BorealisError(sqlState.notSupported, why));
    }
    this.phase = { kind: "busy" };
    this.context.refresh().then(
      () => {
        if (this.phase.kind !== "busy") return;
        this.phase = { kind: "idle" };
        this.answer(command);
      },
      (error: unknown) => {
        if (this.phase.kind !== "busy") return;
        this.phase = { kind: "idle" };
        this.refuse(
          error instanceof BorealisError
            ? error
            : new BorealisError(sqlState.cannotConnectNow, messageOf(error)),
        );
      },
    );
  }

  private refuse(error: BorealisError): void {
    this.connection.write(encodeWalsenderError(error));
  }

  private answer(command: ReplicationCommand): void {
    const { view, systemId } = this.context;
    switch (command.kind) {
      case "identifySystem":
        this.connection.write(
          encodeIdentifyReply({ systemId, timeline: view.timeline, end: view.limit }),
        );
        return;
      case "timelineHistory": {
        const text = findHistoryFile(view.spans(), command.timeline);
        if (text === undefined) {
          const why = `timeline ${command.timeline} is not in this volume's history`;
          return this.refuse(new BorealisError(sqlState.notInPrerequisiteState, why));
        }
        this.connection.write(encodeTimelineHistoryReply(historyFileName(command.timeline), text));
        return;
      }
      case "startReplication":
        return this.start(command.timeline, command.from);
      default:
        return unreachable(command);
    }
  }

  private start(timeline: Timeline, from: Lsn): void {
    const plan = this.context.view.plan(timeline, from);
    switch (plan.kind) {
      case "refuse":
        return this.refuse(plan.error);
      case "over":
        this.connection.write(encodeNextTimeline(plan.next));
        return;
      case "stream": {
        const streaming: Streaming = {
          kind: "streaming",
          timeline,
          at: from,
          rest: nothing,
          subscription: undefined,
        };
        this.phase = streaming;
        this.connection.write(encodeCopyBoth());
        this.subscribe(streaming);
        return this.keepAlive();
      }
      default:
        return unreachable(plan);
    }
  }

  private subscribe(streaming: Streaming): void {
    const { nodes, view } = this.context;
    streaming.subscription = new FeedSubscription(nodes, {
      // What is kept of one link is another's to give again: it outlives no link, and so no path.
      position: () => {
        streaming.at = sentTo(streaming);
        streaming.rest = nothing;
        return streaming.at;
      },
      path: () => view.visiblePath(),
      onData: (data) => this.onData(streaming, data),
      onPathChanged: (history) => this.context.onPathChanged(history),
      onSight: (state) => this.onSight(streaming, state),
      onOvertaken: () => this.context.onOvertaken(),
    });
  }

  private onSight(streaming: Streaming, state: State): boolean {
    const { view, sentTo } = this.context;
    return this.phase === streaming && view.couldGive(state, streaming.at, sentTo);
  }

  /** False: the node is behind what is known, and may be on a path that was left. */
  private onData(streaming: Streaming, data: FeedData): boolean {
    if (this.phase !== streaming) return true;
    const { view, sentTo } = this.context;
    // A stream begins at a segment's start, however far into the segment the standby has come.
    const isLeft = view.hasLeft(data, lsnMaxOf(streaming.at, sentTo));
    if (!isLeft && !view.learn(data)) return false;
    if (isLeft || !view.has(streaming.timeline)) this.losePath(data.history);
    else if (data.runs.length > 0 && this.context.holdsBack()) this.holdBack(streaming);
    else this.sendData(streaming, data);
    return true;
  }

  /** What came is dropped; how far the volume has come is known all the same. */
  private holdBack(streaming: Streaming): void {
    this.hold(streaming);
    this.heldBack = this.context.nodes.clock.after(heldBackMs, () => {
      if (this.phase === streaming && !streaming.subscription) this.subscribe(streaming);
    });
  }

  private sendData(streaming: Streaming, data: FeedData): void {
    let at = data.lsn;
    for (const run of data.runs) {
      this.sendRun(streaming, run, at);
      at = advance(at, run.bytes.length);
    }
    // The node had more than may go out: nothing is kept here, it will be asked for again.
    if (at > streaming.at && this.phase === streaming) this.hold(streaming);
    this.endTimelineIfReached(streaming);
  }

  /** The volume has left the branch that this standby follows: nothing of the path in its place may be sent as it. */
  private losePath(history: History): void {
    this.close();
    this.context.onPathChanged(history);
  }

  private hold(streaming: Streaming): void {
    streaming.subscription?.close();
    streaming.subscription = undefined;
  }

  private sendRun(streaming: Streaming, run: Run, at: Lsn): void {
    const { view } = this.context;
    const next = view.findNext(streaming.timeline);
    const limit = next && next.start < view.limit ? next.start : view.limit;
    const bytes = cutRun(run, at, { from: streaming.at, limit });
    // A gap would be the node's fault; what does not continue the stream is never sent.
    if (!bytes || at > streaming.at) return;
    const start = sentTo(streaming);
    streaming.at = advance(streaming.at, bytes.length);
    const isTimelinesEnd = next !== undefined && streaming.at >= next.start;
    const all = Buffer.concat([streaming.rest, bytes]);
    const cut = isTimelinesEnd ? all.length : safeCut(start, all);
    // The bytes are borrowed.
    streaming.rest = cut === all.length ? nothing : Buffer.from(all.subarray(cut));
    if (cut > 0) this.sendBytes(streaming, start, all.subarray(0, cut));
  }

  private sendBytes(streaming: Streaming, start: Lsn, bytes: Buffer): void {
    const wallMs = this.context.nodes.clock.wallMs();
    let mayGoOn = true;
    this.connection.cork();
    // What begins within a page ends with one, and so do all behind it.
    const inPage = Number(start % BigInt(pageBytes));
    for (let from = 0; from < bytes.length;) {
      const to = from + chunkBytesMax - (from === 0 ? inPage : 0);
      const chunk = bytes.subarray(from, to);
      const at = advance(start, from);
      const header = { start: at, end: this.context.view.limit, sizeBytes: chunk.length };
      this.connection.write(encodeWalHeader(header, wallMs));
      mayGoOn = this.connection.write(chunk);
      from = to;
    }
    this.connection.uncork();
    this.context.onSent(bytes.length, advance(start, bytes.length));
    if (!mayGoOn) streaming.subscription?.pause();
  }

  private endTimelineIfReached(streaming: Streaming): void {
    if (this.phase !== streaming) return;
    const next = this.context.view.findNext(streaming.timeline);
    if (!next || streaming.at < next.start) return;
    streaming.subscription?.close();
    this.keepalive?.cancel();
    this.phase = { kind: "ending", next };
    this.connection.write(encodeCopyDone());
  }

  private onCopyDone(): void {
    if (this.phase.kind === "ending") {
      this.connection.write(encodeNextTimeline(this.phase.next));
      this.phase = { kind: "idle" };
    } else {
      // The receiver wants no more, as it does when its instance is promoted or stopped.
      this.connection.end();
    }
  }

  private keepAlive(): void {
    const { nodes, view } = this.context;
    this.keepalive = nodes.clock.after(keepaliveMs, () => {
      if (this.phase.kind !== "streaming") return;
      this.connection.write(encodeKeepalive(view.limit, nodes.clock.wallMs(), false));
      this.keepAlive();
    });
  }
}

/** Up to where log was sent. */
function sentTo({ at, rest }: Streaming): Lsn {
  return lsn(at - BigInt(rest.length));
}
