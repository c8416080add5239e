import { messageOf } from "../base/errors.ts";
import type { Epoch } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { Logger } from "../io/index.ts";
import { type Reply } from "../acceptor/index.ts";
import { type History, isOnPath, type QuorumMessage, type Run } from "../quorum/index.ts";
import { type LogStore, runsEnd } from "./log-store-shell.ts";

/** Log in one FeedData, at most. */
const chunkBytes = 256 * 1024;
/** A reader that has left more than this unread gets nothing further until its socket has drained. */
const unsentBytesMax = 1024 * 1024;
/** A feed that had nothing to say for this long says so. */
const quietMs = 1_000;

/** What a feed may show now. */
export interface FeedView {
  readonly limit: Lsn;
  readonly vdl: Lsn;
  readonly vdlEpoch: Epoch;
  readonly history: History;
}

/** The link a feed goes out on. */
export interface FeedLink {
  send(requestId: bigint, message: QuorumMessage): void;
  readonly unsentBytes: number;
}

/** Where log is read from. */
export type FeedStore = Pick<LogStore, "recent" | "read">;

interface Feed {
  readonly link: FeedLink;
  readonly reply: Reply;
  /** First byte not yet sent. */
  at: Lsn;
  history: History;
  toldVdl: Lsn | undefined;
  spokeAtMs: number;
  state: "waiting" | "sending" | "ended";
}

/**
 * What readers are sent: log up to the limit, promptly, and the VDL; never more than a bounded amount that their
 * sockets have not taken. One feed a link.
 */
export class Feeds {
  private readonly feeds = new Map<number, Feed>();
  private readonly store: FeedStore;
  private readonly view: () => FeedView;
  private readonly logger: Logger;
  private readonly nowMs: () => number;
  private readonly onRead: (error: unknown) => void;

  constructor(deps: {
    readonly store: FeedStore;
    readonly view: () => FeedView;
    readonly logger: Logger;
    readonly nowMs: () => number;
    /** A read of the log failed. */
    readonly onReadFailed: (error: unknown) => void;
  }) {
    this.store = deps.store;
    this.view = deps.view;
    this.logger = deps.logger;
    this.nowMs = deps.nowMs;
    this.onRead = deps.onReadFailed;
  }

  get count(): number {
    return this.feeds.size;
  }

  /** `history`: on which the reader was found to be, maybe not the one in force any more. */
  start(
    link: FeedLink,
    {
      reply,
      from,
      history,
    }: { readonly reply: Reply; readonly from: Lsn; readonly history: History },
  ): void {
    this.end(reply.link);
    const feed: Feed = {
      link,
      reply,
      at: from,
      history,
      toldVdl: undefined,
      spokeAtMs: this.nowMs(),
      state: "waiting",
    };
    this.feeds.set(reply.link, feed);
    this.logger.info({ event: "feed.started", link: reply.link, from });
    this.pump(feed);
  }

  end(link: number): void {
    const feed = this.feeds.get(link);
    if (!feed) return;
    feed.state = "ended";
    this.feeds.delete(link);
  }

  /** The limit, the VDL or a socket's room may have changed. */
  pumpAll(): void {
    for (const feed of this.feeds.values()) this.pump(feed);
  }
  pumpLink(link: number): void {
    const feed = this.feeds.get(link);
    if (feed) this.pump(feed);
  }

  /** Readers whose log is not on the new path have to be rebuilt; the others follow it. */
  changeHistory(history: History, base: Lsn): void {
    for (const feed of this.feeds.values()) {
      if (isOnPath(feed.history, history, { from: base, at: feed.at })) {
        feed.history = history;
        continue;
      }
      feed.link.send(feed.reply.requestId, { kind: "pathChanged", history });
      this.end(feed.reply.link);
    }
  }

  /** Signs of life on feeds that had nothing to say. */
  tick(): void {
    const nowMs = this.nowMs();
    for (const feed of this.feeds.values()) {
      const isQuiet = nowMs - feed.spokeAtMs >= quietMs && feed.link.unsentBytes === 0;
      if (feed.state === "waiting" && isQuiet) this.say(feed, []);
    }
  }

  private pump(feed: Feed): void {
    if (feed.state !== "waiting" || feed.link.unsentBytes > unsentBytesMax) return;
    for (let runs = this.recent(feed); runs.length > 0; runs = this.recent(feed)) {
      const end = runsEnd(feed.at, runs);
      this.say(feed, runs);
      feed.at = end;
      if (feed.link.unsentBytes > unsentBytesMax) return;
    }
    const { limit, vdl } = this.view();
    if (feed.at < limit) {
      // A worker moves the log's end before it tells by what: reading that from the file takes many times as long.
      if (this.store.recent.awaits(feed.at)) return;
      feed.state = "sending";
      // Started here and ended by itself: `advance` lets no failure out.
      void this.advance(feed, limit);
    } else if (vdl !== feed.toldVdl) {
      this.say(feed, []);
    }
  }

  /** What may be shown next and is still in memory. */
  private recent(feed: Feed): readonly Run[] {
    const { limit } = this.view();
    if (feed.at >= limit) return [];
    return this.store.recent.read({ from: feed.at, to: limit, limitBytes: chunkBytes });
  }

  private async advance(feed: Feed, limit: Lsn): Promise<void> {
    try {
      const runs = await this.store.read({ from: feed.at, to: limit, limitBytes: chunkBytes });
      if (feed.state !== "sending") return;
      // The log may have been cut while it was read: what is sent is what may be shown now.
      const end = runsEnd(feed.at, runs);
      if (runs.length > 0 && end <= this.view().limit) {
        this.say(feed, runs);
        feed.at = end;
      }
    } catch (error) {
      this.logger.warn({ event: "feed.failed", link: feed.reply.link, reason: messageOf(error) });
      this.end(feed.reply.link);
      this.onRead(error);
      return;
    }
    feed.state = "waiting";
    this.pump(feed);
  }

  private say(feed: Feed, runs: readonly Run[]): void {
    const { vdl, vdlEpoch, history } = this.view();
    feed.toldVdl = vdl;
    feed.spokeAtMs = this.nowMs();
    const { requestId } = feed.reply;
    feed.link.send(requestId, { kind: "feedData", lsn: feed.at, runs, vdl, vdlEpoch, history });
  }
}
