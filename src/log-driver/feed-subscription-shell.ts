import type { Lsn } from "../base/lsn.ts";
import type { Rng } from "../base/rng.ts";
import { type Clock, type Logger, sleep, type Timer } from "../io/index.ts";
import {
  type FeedData,
  type History,
  NodeLink,
  type QuorumMessage,
  type Run,
  type State,
} from "../quorum/index.ts";
import { Lookout } from "./feed-lookout-shell.ts";
import type { Spare } from "./feed-scout-shell.ts";
import { type LinkOwner, linkTo, type NodeEndpoint } from "./node-endpoint.ts";

export interface FeedNodes {
  /** In order of preference: the reader's own zone first. Read anew each time: members change. */
  readonly nodes: readonly NodeEndpoint[];
  readonly owner: LinkOwner;
  readonly clock: Clock;
  readonly rng: Rng;
  readonly logger: Logger;
}

/** A node says something every second; one that is silent this long is taken for gone. */
const silenceMaxMs = 4_000;
const dialTimeoutMs = 1_000;
const firstDelayMs = 50;
const maxDelayMs = 1_000;

export interface SubscriptionSink {
  /** Where to go on, asked at each (re)subscription. */
  position(): Lsn;
  path(): History;
  /** Runs are borrowed until the call returns and contiguous from `position()` or below it. False: it is of no use. */
  onData(data: FeedData): boolean;
  onPathChanged(history: History): void;
  /** What another node than the one that serves says. True: it has log that the reader may have and has not. */
  onSight(state: State): boolean;
  /** The node that served is left for one that has more. */
  onOvertaken(): void;
}

/**
 * One stream of log from whichever node serves it: the first in order that answers; when it is lost, falls silent or
 * refuses, the next one, from where the reader is; when it gives nothing for a moment and another one has more, that one.
 * Runs until closed.
 */
export class FeedSubscription {
  private readonly nodes: FeedNodes;
  private readonly sink: SubscriptionSink;
  private readonly controller = new AbortController();
  private link: NodeLink | undefined;
  private server: string | undefined;
  private isPaused = false;
  private heardMs = 0;
  /** Who has more than the node that was left. */
  private ahead: Spare | undefined;
  private readonly lookout: Lookout;
  readonly finished: Promise<void>;

  constructor(nodes: FeedNodes, sink: SubscriptionSink) {
    this.nodes = nodes;
    this.sink = sink;
    this.lookout = new Lookout(nodes, {
      isPaused: () => this.isPaused,
      onSight: (state) => sink.onSight(state),
      onAhead: (spare) => {
        this.ahead = spare;
        sink.onOvertaken();
        this.link?.close();
      },
    });
    this.finished = this.run();
  }

  /** Name of the node that serves now. */
  get servedBy(): string | undefined {
    return this.server;
  }

  pause(): void {
    this.isPaused = true;
    this.link?.pause();
  }
  resume(): void {
    if (!this.isPaused) return;
    this.isPaused = false;
    this.heardMs = this.nodes.clock.nowMs();
    this.link?.resume();
  }
  close(): void {
    this.controller.abort(new Error("the subscription was closed"));
    this.lookout.close();
    this.link?.close();
  }

  private async run(): Promise<void> {
    const { clock, rng } = this.nodes;
    const { signal } = this.controller;
    let delayMs = firstDelayMs;
    while (!signal.aborted) {
      for (const endpoint of this.nodes.nodes) {
        if (signal.aborted) return;
        if (await this.serveFrom(endpoint)) delayMs = firstDelayMs;
        for (let next = this.takeAhead(); next; next = this.takeAhead())
          if (await this.serve(next.endpoint, next.link)) delayMs = firstDelayMs;
      }
      await sleep(clock, delayMs * (0.5 + rng.next() / 2), signal);
      delayMs = Math.min(delayMs * 2, maxDelayMs);
    }
  }

  /** Until the node is lost or refuses; true if it served anything. */
  private async serveFrom(endpoint: NodeEndpoint): Promise<boolean> {
    const { owner, clock } = this.nodes;
    const { signal } = this.controller;
    let link: NodeLink;
    try {
      const bounds = { clock, timeoutMs: dialTimeoutMs, signal };
      link = await NodeLink.open(linkTo(endpoint, owner, bounds));
    } catch {
      return false; // the next node, and this one again in the next round
    }
    return this.serve(endpoint, link);
  }

  private takeAhead(): Spare | undefined {
    const { ahead } = this;
    this.ahead = undefined;
    return ahead;
  }

  private async serve(endpoint: NodeEndpoint, link: NodeLink): Promise<boolean> {
    const { signal } = this.controller;
    if (signal.aborted) {
      link.close();
      return false;
    }
    const { name: node } = endpoint;
    this.link = link;
    this.server = node;
    const served = await this.stream(endpoint, link);
    this.link = undefined;
    this.server = undefined;
    const { logger } = this.nodes;
    if (this.ahead) logger.debug({ event: "feed.overtaken", node, by: this.ahead.endpoint.name });
    else if (!signal.aborted) logger.info({ event: "feed.lost", node, served }, "feed lost");
    return served;
  }

  private stream(endpoint: NodeEndpoint, link: NodeLink): Promise<boolean> {
    const { clock } = this.nodes;
    let served = false;
    let watch: Timer | undefined;
    this.lookout.serves(endpoint.nodeId);
    this.heardMs = clock.nowMs();
    const look = (): void => {
      const silentMs = clock.nowMs() - this.heardMs;
      if (!this.isPaused && silentMs > silenceMaxMs) return link.close();
      watch = clock.after(silenceMaxMs / 4, look);
    };
    look();
    if (this.isPaused) link.pause();
    const subscribed = link.send({
      kind: "subscribe",
      path: this.sink.path(),
      from: this.sink.position(),
    });
    link.onMessage(({ envelope, message }) => {
      if (envelope.requestId !== subscribed) return;
      this.heardMs = clock.nowMs();
      if (message.kind === "feedData") this.lookout.hear(message);
      served = this.take(link, message) || served;
    });
    return new Promise((resolve) => {
      link.onClose(() => {
        watch?.cancel();
        this.lookout.serves(undefined);
        resolve(served);
      });
    });
  }

  private take(link: NodeLink, message: QuorumMessage): boolean {
    switch (message.kind) {
      case "feedData":
        if (this.sink.onData(message)) return true;
        break;
      case "pathChanged":
        this.sink.onPathChanged(message.history);
        break;
      default:
        // Refuse or NotHere: this node cannot serve now.
        break;
    }
    link.close();
    return false;
  }
}

/** The part of `run`, which lies at `at`, from `from` on and below `limit`; undefined if nothing of it does. */
export function cutRun(
  run: Run,
  at: Lsn,
  bounds: { from: Lsn; limit: Lsn },
): Uint8Array | undefined {
  const skip = bounds.from > at ? Number(bounds.from - at) : 0;
  const keep = Math.min(run.bytes.length, Number(bounds.limit - at));
  return skip < keep ? run.bytes.subarray(skip, keep) : undefined;
}
