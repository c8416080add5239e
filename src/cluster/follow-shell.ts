import { messageOf } from "../base/errors.ts";
import {
  type Clock,
  connectRpc,
  type Logger,
  type RpcClient,
  sleep,
  type Timer,
} from "../io/index.ts";
import type { SessionFigures } from "../session/index.ts";
import {
  type Listening,
  noTopology,
  type Remaining,
  type TopologyMessage,
  topologySchema,
} from "./messages.ts";

/** A control plane that does not answer for so long is busy with something else. */
const answerMs = 5_000;
const reconnectMs = 100;
/** Figures are for people who look once in some seconds. */
const figuresEveryMs = 1_000;
/** While somebody waits for what runs. */
const holdingEveryMs = 3;
const noneHeld = "[]";

/**
 * A proxy's view of where sessions may go: pushed by the control plane at each change. While the control plane is
 * away the last view stays: instances that die meanwhile are noticed by their sockets.
 */
export class TopologyFollower {
  private readonly path: string;
  private readonly clock: Clock;
  private readonly logger: Logger;
  private readonly closing = new AbortController();
  private readonly listeners: (() => void)[] = [];
  private latest: TopologyMessage = noTopology;
  private client: RpcClient | undefined;
  private listening: Listening | undefined;
  /** What the control plane was told last of what is held here. */
  private held = noneHeld;
  private holdingTimer: Timer | undefined;
  private remainingOn = (_id: string): Remaining => ({ statements: 0, blocks: 0 });
  private figures: (() => SessionFigures) | undefined;

  constructor(options: { controlSocket: string; clock: Clock; logger: Logger }) {
    this.path = options.controlSocket;
    this.clock = options.clock;
    this.logger = options.logger;
    void this.follow();
  }

  /** Without endpoints until the control plane has been heard. */
  get current(): TopologyMessage {
    return this.latest;
  }

  onChange(listener: () => void): void {
    this.listeners.push(listener);
  }

  /** How this proxy's endpoints are: told to the control plane now, and to each one that comes after it. */
  tellListening(listening: Listening): void {
    this.listening = listening;
    this.sayListening();
  }

  /** The control plane is told these figures, if they have changed, once a second. */
  reportSessions(figures: () => SessionFigures): void {
    this.figures = figures;
  }

  /** What runs for sessions on an instance where nothing more is to begin. */
  reportRemaining(remainingOn: (id: string) => Remaining): void {
    this.remainingOn = remainingOn;
  }

  close(): void {
    this.holdingTimer?.cancel();
    this.closing.abort();
  }

  private async follow(): Promise<void> {
    const { signal } = this.closing;
    while (!signal.aborted) {
      try {
        const client = await connectRpc(
          { kind: "unix", path: this.path },
          { timeoutMs: 1_000, signal },
        );
        await this.listenTo(client);
      } catch (error) {
        this.logger.debug({ event: "control.unreachable" }, messageOf(error));
      }
      await sleep(this.clock, reconnectMs, signal);
    }
  }

  private async listenTo(client: RpcClient): Promise<void> {
    const gone = new Promise<void>((resolve) => {
      client.onClose(resolve);
      this.closing.signal.addEventListener("abort", () => resolve(), { once: true });
    });
    const source = { method: "topology", event: "topology", timeoutMs: 2_000 };
    await client.follow(source, (data) => this.take(data));
    this.client = client;
    this.held = noneHeld;
    this.sayListening();
    this.sayHolding();
    await Promise.race([gone, this.reportTo(client)]);
    this.client = undefined;
    client.close();
  }

  /** One at a time: a control plane that is slow is told less. Resolves when its line is gone. */
  private async reportTo(client: RpcClient): Promise<void> {
    let told = "";
    while (!client.closed && !this.closing.signal.aborted) {
      const figures = this.figures?.();
      const text = figures ? JSON.stringify(figures) : "";
      try {
        if (text !== told) await client.call("sessions", figures, { timeoutMs: answerMs });
        told = text;
      } catch (error) {
        // It is gone, or busy: told again.
        this.logger.debug({ event: "figures.notTold" }, messageOf(error));
      }
      await sleep(this.clock, figuresEveryMs, this.closing.signal);
    }
  }

  private sayListening(): void {
    if (!this.client || !this.listening) return;
    this.client.call("listening", this.listening).catch((error: unknown) => {
      // It is gone: the next one is told.
      this.logger.debug({ event: "listening.notTold" }, messageOf(error));
    });
  }

  private take(data: unknown): void {
    this.latest = topologySchema.parse(data);
    for (const listener of this.listeners) listener();
    this.sayHolding();
  }

  /** Whoever listens to changes has taken the newest. Said again as long as something runs where nothing more begins. */
  private sayHolding(): void {
    this.holdingTimer?.cancel();
    const leaving = this.latest.instances.filter((one) => one.isLeaving);
    const holding = leaving.map(({ id, incarnation }) => {
      return { id, incarnation, ...this.remainingOn(id) };
    });
    if (leaving.length > 0)
      this.holdingTimer = this.clock.after(holdingEveryMs, () => this.sayHolding());
    const held = JSON.stringify(holding);
    if (!this.client || held === this.held) return;
    this.held = held;
    this.client.call("holding", holding).catch((error: unknown) => {
      this.logger.debug({ event: "holding.notTold" }, messageOf(error));
    });
  }
}
