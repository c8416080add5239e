import { type Clock, connectRpc, type RpcClient, sleep } from "../io/index.ts";
import { type InstanceStatus, instanceStatusSchema } from "./messages.ts";

const pollMs = 50;
const answerMs = 1_000;

/** How long a reader lets the writer go first. */
export interface WriterFirstLimits {
  /** A writer that does not answer, has no role yet, or claims: perhaps there is none to come. */
  readonly comingMs: number;
  /** One that builds its cache, or replays. */
  readonly recoveringMs: number;
}

const defaultLimits: WriterFirstLimits = { comingMs: 10_000, recoveringMs: 60_000 };

/**
 * Waits while the writer is on its way to take writes. A cache takes seconds of CPU and disk for each gigabyte: after a loss
 * of all of them, two that are built at the same time would make everybody's writes wait twice as long. It is no more than a
 * courtesy, with a bound: readers come up without any writer, too.
 */
export async function letWriterGoFirst(wait: {
  /** Of the agent of whoever is to write now. */
  readonly writerAgentSocket: () => string;
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly limits?: WriterFirstLimits;
}): Promise<void> {
  const { clock, signal, limits = defaultLimits } = wait;
  const startMs = clock.nowMs();
  const asker = new Asker(signal);
  try {
    for (;;) {
      const status = await asker.ask(wait.writerAgentSocket());
      if (status?.role === "writer" && status.isAdmitted) return;
      const isRecovering = status?.role === "writer" && status.state === "recovering";
      const limitMs = isRecovering ? limits.recoveringMs : limits.comingMs;
      if (clock.nowMs() - startMs >= limitMs) return;
      if (signal.aborted) throw signal.reason;
      await sleep(clock, pollMs, signal);
    }
  } finally {
    asker.close();
  }
}

/** Asks an agent how it is, over one line as long as that holds. */
class Asker {
  private readonly signal: AbortSignal;
  private client: RpcClient | undefined;
  private dialled = "";

  constructor(signal: AbortSignal) {
    this.signal = signal;
  }

  /** Undefined: it does not answer. */
  async ask(path: string): Promise<InstanceStatus | undefined> {
    try {
      if (!this.client || this.client.closed || this.dialled !== path) {
        this.close();
        const bounds = { timeoutMs: answerMs, signal: this.signal };
        this.client = await connectRpc({ kind: "unix", path }, bounds);
        this.dialled = path;
      }
      const answer = await this.client.call("status", {}, { timeoutMs: answerMs });
      return instanceStatusSchema.parse(answer);
    } catch {
      return undefined;
    }
  }

  close(): void {
    this.client?.close();
    this.client = undefined;
  }
}
