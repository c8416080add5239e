import { Histogram } from "../base/histogram.ts";
import type { NodeId } from "../base/ids.ts";
import { type Lsn, lsnZero } from "../base/lsn.ts";
import type { AppendAnswer, QuorumMessage } from "../quorum/index.ts";
import { NodeLink } from "../quorum/index.ts";
import { type AppendFrame, AppendLink, keepLinked, type LinkWorld } from "./append-link-shell.ts";
import type { VolumeNode } from "./driver-messages.ts";
import { linkTo } from "./node-endpoint.ts";
import type { RingView } from "./ring.ts";

const dialTimeoutMs = 2_000;

export interface LinksHandlers {
  /** Both links are up. */
  onConnected(node: NodeId): void;
  /** One of them is lost. */
  onDisconnected(node: NodeId): void;
  onMessage(node: NodeId, message: QuorumMessage): void;
  onAnswer(node: NodeId, answer: AppendAnswer): void;
}

/** The two connections to one node: control, and appends. */
const takesNone: ReadonlySet<string> = new Set(["full", "damaged"]);

export class NodeLinks {
  readonly node: VolumeNode;
  private append: AppendLink | undefined;
  private readonly world: LinkWorld;
  // One for each node: a signal that dozens listen to is taken for a leak by Node.
  private readonly controller = new AbortController();
  private readonly handlers: LinksHandlers;
  private control: NodeLink | undefined;
  private isAppendUp = false;
  private wasConnected = false;
  /** When the node last said anything. */
  heardMs = 0;
  /** It has room for log, and a whole one, as far as it has said. */
  takesLog = true;
  private scl: Lsn = lsnZero;
  sentBytes = 0;
  frames = 0;
  private readonly appends: Histogram;
  /** Undefined: nothing that is to be measured is under way. */
  private sentMs: number | undefined;

  /** The control link only: see openAppend. */
  constructor(
    node: VolumeNode,
    outer: Omit<LinkWorld, "signal">,
    handlers: LinksHandlers,
    appends = new Histogram(),
  ) {
    this.node = node;
    this.appends = appends;
    const world = { ...outer, signal: this.controller.signal };
    this.world = world;
    this.handlers = handlers;
    void keepLinked(world, () => this.openControl());
  }

  /** The link for appends too, from now on. A claim needs none: a node keeps few threads for them. */
  openAppend(): void {
    const { node, world, handlers } = this;
    this.append ??= new AppendLink(node, world, {
      onUp: () => {
        this.isAppendUp = true;
        this.look();
      },
      onDown: () => {
        this.isAppendUp = false;
        this.look();
      },
      onAnswer: (answer) => {
        this.heardMs = world.clock.nowMs();
        if (answer.kind === "appendAck" && this.sentMs !== undefined)
          this.appends.observe(this.heardMs - this.sentMs);
        const isRefused = answer.kind === "refuse" && takesNone.has(answer.reason);
        // Refused without log, as the news of a VDL is, it may never be asked again: nothing is owed to it.
        if (!isRefused || this.sentMs !== undefined) this.takesLog = !isRefused;
        this.sentMs = undefined;
        if (answer.kind === "appendAck") this.noteScl(answer.scl);
        handlers.onAnswer(node.nodeId, answer);
      },
    });
  }

  get isConnected(): boolean {
    return this.wasConnected;
  }

  /** Linked as far as a claim needs it, and nothing is claimed yet. */
  get standsBy(): boolean {
    return this.append === undefined && this.control !== undefined;
  }

  /** Drops both connections; new ones are made. */
  hangUp(): void {
    this.append?.hangUp();
    this.control?.close();
  }

  /** Drops both connections and makes no new ones. */
  close(reason: string): void {
    this.controller.abort(new Error(reason));
  }

  /** False: there is no link, or none for appends; nothing was sent. */
  sendAppend(frame: AppendFrame, payload: RingView): boolean {
    if (!this.append?.send(frame, payload)) return false;
    // One is under way at a time. One without log is not synced.
    this.sentMs = payload.bytes.length > 0 ? this.world.clock.nowMs() : undefined;
    this.frames++;
    this.sentBytes += payload.bytes.length;
    return true;
  }

  /** Dropped if there is no link: whoever needs an answer asks again. */
  send(message: QuorumMessage): void {
    this.control?.send(message);
  }

  /** One that filled its log from peers has taken it: no append may follow that would tell. */
  private noteScl(scl: Lsn): void {
    if (scl <= this.scl) return;
    this.scl = scl;
    this.takesLog = true;
  }

  private look(): void {
    const isConnected = this.isAppendUp && this.control !== undefined;
    if (isConnected === this.wasConnected) return;
    this.wasConnected = isConnected;
    if (isConnected) {
      this.heardMs = this.world.clock.nowMs();
      this.handlers.onConnected(this.node.nodeId);
    } else this.handlers.onDisconnected(this.node.nodeId);
  }

  private async openControl(): Promise<{ readonly gone: Promise<void> }> {
    const { owner, clock, signal } = this.world;
    const bounds = { clock, timeoutMs: dialTimeoutMs, signal };
    const link = await NodeLink.open(linkTo(this.node, owner, bounds));
    const onAbort = (): void => link.close();
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) link.close();
    link.onMessage(({ message }) => {
      this.heardMs = clock.nowMs();
      if (message.kind === "appendAck" || message.kind === "heartbeatAck")
        this.noteScl(message.scl);
      this.handlers.onMessage(this.node.nodeId, message);
    });
    this.control = link;
    const gone = new Promise<void>((resolve) => {
      link.onClose(() => {
        signal.removeEventListener("abort", onAbort);
        this.control = undefined;
        this.look();
        resolve();
      });
    });
    this.look();
    return { gone };
  }
}
