import { messageOf } from "../base/errors.ts";
import { type Clock, connectRpc, type Logger, type RpcClient, sleep } from "../io/index.ts";
import { type KeeperReport, keeperReportSchema, type World } from "../keeper/index.ts";

export interface KeeperLineOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly socket: string;
  readonly world: () => World;
  readonly onReport: () => void;
}

/** How often the world is looked at anew: VDL moves all the time. */
const tellEveryMs = 500;
const answerMs = 10_000;

/** The control plane's line to the keeper: tells it how the cluster is, and knows how the keeper is. */
export class KeeperLine {
  private readonly options: KeeperLineOptions;
  private last: KeeperReport | undefined;
  private line: RpcClient | undefined;

  constructor(options: KeeperLineOptions) {
    this.options = options;
  }

  /** As it was told last; undefined: the keeper does not run, or has not spoken yet. */
  get report(): KeeperReport | undefined {
    return this.last;
  }

  /** To ask it for something; undefined: it does not run. */
  get client(): RpcClient | undefined {
    return this.line;
  }

  async run(signal: AbortSignal): Promise<void> {
    const { clock, logger, socket } = this.options;
    while (!signal.aborted) {
      try {
        const client = await connectRpc(
          { kind: "unix", path: socket },
          { timeoutMs: 1_000, signal },
        );
        await this.talk(client, signal);
      } catch (error) {
        logger.debug({ event: "keeper.unreachable" }, messageOf(error));
      }
      this.line = undefined;
      this.last = undefined;
      await sleep(clock, tellEveryMs, signal);
    }
  }

  close(): void {
    this.line?.close();
  }

  private async talk(client: RpcClient, signal: AbortSignal): Promise<void> {
    const { clock, world, onReport } = this.options;
    try {
      await client.call("setWorld", world(), { timeoutMs: answerMs });
      this.line = client;
      await client.follow({ method: "report", event: "report", timeoutMs: answerMs }, (data) => {
        this.last = keeperReportSchema.parse(data);
        onReport();
      });
      let told = "";
      while (!signal.aborted && !client.closed) {
        const now = world();
        const text = JSON.stringify(now);
        if (text !== told) await client.call("setWorld", now, { timeoutMs: answerMs });
        told = text;
        await sleep(clock, tellEveryMs, signal);
      }
    } finally {
      client.close();
    }
  }
}
