import type { Reply } from "../acceptor/index.ts";
import { type Lsn, lsnMin } from "../base/lsn.ts";
import { type History, isOnPath } from "../quorum/index.ts";
import type { SimNode } from "./sim-node.ts";

interface Feed {
  readonly reply: Reply;
  at: Lsn;
  /** What the reader has followed so far. */
  history: History;
  toldVdl: Lsn | undefined;
}

/** The readers that follow one node: each gets what the acceptor's limit allows, as it grows. */
export class Feeds {
  private readonly node: SimNode;
  private feeds: Feed[] = [];

  constructor(node: SimNode) {
    this.node = node;
  }

  get hasSubscribers(): boolean {
    return this.feeds.length > 0;
  }

  reset(): void {
    this.feeds = [];
  }

  /** `history`: on which the reader was found to be, maybe not the one in force any more. */
  start(reply: Reply, from: Lsn, history: History): void {
    this.feeds = this.feeds.filter((feed) => feed.reply.link !== reply.link);
    this.feeds.push({ reply, at: from, history, toldVdl: undefined });
    this.told();
    this.pump();
  }

  private told(): void {
    this.node.post({ kind: "subscribersChanged", count: this.feeds.length });
  }

  /** Ends the feeds of readers who are not on the new path. */
  changeHistory(history: History): void {
    const { base } = this.node.acceptor.state;
    const ended: Feed[] = [];
    for (const feed of this.feeds) {
      if (isOnPath(feed.history, history, { from: base, at: feed.at })) feed.history = history;
      else ended.push(feed);
    }
    if (ended.length === 0) return;
    this.feeds = this.feeds.filter((feed) => !ended.includes(feed));
    for (const { reply } of ended)
      this.node.send(reply.link, reply.requestId, { kind: "pathChanged", history });
    this.told();
  }

  pump(): void {
    const { acceptor, log } = this.node;
    const limit = lsnMin(acceptor.feedLimit, this.node.syncedEnd);
    const { vdl, vdlEpoch, state } = acceptor;
    for (const feed of this.feeds) {
      const isMore = feed.at < limit && feed.at >= log.base;
      if (!isMore && feed.toldVdl === vdl) continue;
      feed.toldVdl = vdl;
      const runs = isMore ? log.runs(feed.at, limit) : [];
      const { history } = state;
      this.node.send(feed.reply.link, feed.reply.requestId, {
        kind: "feedData",
        lsn: feed.at,
        runs,
        vdl,
        vdlEpoch,
        history,
      });
      if (isMore) feed.at = limit;
    }
  }
}
