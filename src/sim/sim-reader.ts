import { encodeMessage, type ReceivedMessage, type FeedData, lastEpoch } from "../quorum/index.ts";
import { type Lsn } from "../base/lsn.ts";
import { FeedView } from "../log-driver/index.ts";
import { ByteLog, origin } from "./spans.ts";
import type { SimWorld } from "./world.ts";

const patienceMs = 900;

/** A reader instance: the shipped FeedView over the feed of one node after the other. */
export class SimReader {
  readonly name: string;
  readonly world: SimWorld;
  log = new ByteLog(origin);
  view = new FeedView();
  private nodeIndex = 0;
  private heardAtMs = 0;
  private requestId = 1n;

  constructor(world: SimWorld, name: string) {
    this.world = world;
    this.name = name;
  }

  start(): void {
    this.world.network.attach(this.name, (_, received) => this.receive(received));
    this.tick();
  }

  private tick(): void {
    const again = (): void => this.tick();
    this.world.queue.after(
      this.world.nodeTickMs,
      `${this.name} tick`,
      () => {
        const { nowMs } = this.world.queue;
        if (nowMs - this.heardAtMs > patienceMs) this.subscribe();
        this.tick();
      },
      again,
    );
  }

  private subscribe(): void {
    const { world } = this;
    this.nodeIndex = (this.nodeIndex + 1) % world.nodes.length;
    const node = world.nodes[this.nodeIndex];
    if (!node) return;
    this.heardAtMs = world.queue.nowMs;
    this.requestId++;
    const { volumeId } = world;
    const envelope = {
      volumeId,
      sender: this.name,
      target: node.nodeId,
      requestId: this.requestId,
    };
    const path = this.view.visiblePath();
    const message = { kind: "subscribe", path, from: this.log.end } as const;
    world.network.send(this.name, node.name, "subscribe", encodeMessage(envelope, message));
  }

  private receive(received: ReceivedMessage): void {
    const { envelope, message } = received;
    if (envelope.requestId !== this.requestId) return;
    switch (message.kind) {
      case "feedData":
        return this.onData(message);
      case "pathChanged":
        if (lastEpoch(message.history) < this.view.epoch) return undefined;
        if (this.world.rules.mustRebuild()) return this.rebuild();
        this.view = new FeedView(message.history);
        return undefined;
      case "notHere":
        // Log below a low-water is gone: the reader is hydrated from a snapshot.
        if (this.log.end < message.base) this.rebuild(message.base);
        return undefined;
      default:
        return undefined;
    }
  }

  /** From a snapshot: what it had cannot be patched (M22). */
  private rebuild(base: Lsn = origin): void {
    this.world.counters.note("readers rebuilt");
    this.log = new ByteLog(base);
    this.view = new FeedView();
    this.heardAtMs = Number.NEGATIVE_INFINITY;
    // Its link is closed: what is still under way on it is heard no more.
    this.requestId++;
    this.world.observer.noteReaderRebuilt(this);
  }

  private onData(data: FeedData): void {
    this.heardAtMs = this.world.queue.nowMs;
    if (this.view.hasLeft(data, this.log.end) && this.world.rules.mustRebuild())
      return this.rebuild();
    if (!this.view.learn(data)) {
      this.heardAtMs = Number.NEGATIVE_INFINITY;
      return;
    }
    let at = data.lsn;
    for (const { epoch, timeline, bytes } of data.runs) {
      const end = (at + BigInt(bytes.length)) as Lsn; // below 2^64: it is log
      if (at <= this.log.end && end > this.log.end) {
        const skip = Number(this.log.end - at);
        this.log.append({ epoch, timeline, bytes: bytes.subarray(skip) });
      }
      at = end;
    }
    // Whatever it was given, not only what it would show: no reader may ever have to give a byte back.
    this.world.observer.noteShown(this, this.log.end);
  }
}
