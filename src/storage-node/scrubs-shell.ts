import { type Clock, type Logger, sleep } from "../io/index.ts";
import type { Reply } from "../acceptor/index.ts";
import type { History, QuorumMessage, ReceivedMessage, ScrubProgress } from "../quorum/index.ts";
import type { StorageNodeConfig } from "./node-config.ts";
import type { Peers } from "./peers-shell.ts";
import { Scrub } from "./scrub-shell.ts";
import type { NodeStorage } from "./storage-shell.ts";

/** How long a scrub in the background takes unless told: a week. Between two of them it rests a minute. */
const intervalMs = 7 * 24 * 3_600_000;
const restMs = 60_000;
/** Who asked for one is told so often how it gets on. */
const tellEveryMs = 200;

export interface ScrubsDeps {
  readonly config: StorageNodeConfig;
  readonly storage: NodeStorage;
  readonly peers: Peers;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly signal: AbortSignal;
  readonly say: (reply: Reply, message: QuorumMessage) => void;
  readonly run: (task: () => Promise<undefined>) => void;
  readonly history: () => History;
  readonly onReadFailed: (error: unknown) => void;
}

/** A node's scrubs: the one that never ends, those that are asked for, and peers' questions in theirs. */
export class Scrubs {
  private readonly deps: ScrubsDeps;

  constructor(deps: ScrubsDeps) {
    this.deps = deps;
  }

  /** True if the message is about scrubs, and is being answered. */
  takes(link: number, { envelope, message }: ReceivedMessage): boolean {
    if (message.kind !== "digest" && message.kind !== "scrub") return false;
    const { config, run, say, signal } = this.deps;
    if (envelope.target !== config.nodeId || envelope.volumeId !== config.volumeId) return false;
    run(async () => {
      const said =
        message.kind === "digest"
          ? await this.fresh().answer(message)
          : await this.fresh(this.teller(link)).run("now", signal);
      say({ link, requestId: envelope.requestId }, said);
      return undefined;
    });
    return true;
  }

  /** Reads all of it through again and again, slowly. */
  async forEver(): Promise<undefined> {
    const { clock, config, signal } = this.deps;
    const pace = { intervalMs: config.scrubIntervalMs ?? intervalMs };
    while (!signal.aborted) {
      await sleep(clock, Math.min(pace.intervalMs, restMs), signal);
      if (!signal.aborted) await this.fresh().run(pace, signal);
    }
    return undefined;
  }

  private teller(link: number): (progress: ScrubProgress) => void {
    const { clock, say } = this.deps;
    let toldMs = -Infinity;
    return (progress) => {
      const nowMs = clock.nowMs();
      if (nowMs - toldMs < tellEveryMs) return;
      toldMs = nowMs;
      say({ link, requestId: 0n }, progress); // no answer to anything
    };
  }

  private fresh(onProgress?: (progress: ScrubProgress) => void): Scrub {
    const { config, peers } = this.deps;
    const { volumeId, nodeId } = config;
    const peerIds = peers.ids;
    const told = onProgress ? { onProgress } : {};
    return new Scrub({ ...this.deps, ...told, peerIds, owner: { volumeId, nodeId } });
  }
}
