import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import { type Clock, type Logger, orAborted } from "../io/index.ts";
import { type ClusterOrder, hasSecret, orderText } from "./command-orders.ts";

/** More would be no operator. */
const underWayMax = 10;
/** Of what a log line and an event say. */
const textMax = 500;

/** Who waits for a command. */
export interface CommandWait {
  /** How it is getting on, for people. */
  readonly tell: (text: string) => void;
  /** Ends the waiting, with its reason; what was asked for goes on. */
  readonly signal: AbortSignal;
}

/** Who asks for something. */
export interface Asker {
  readonly user: string;
  /** Whose token they came in by, and with which key. */
  readonly principal?: string | undefined;
  readonly accessKeyId?: string | undefined;
  /** The client's address. */
  readonly remote: string;
  readonly application: string;
}

export interface AskedCommand {
  readonly order: ClusterOrder;
  readonly by: Asker;
  /** As it could have been written. */
  readonly text: string;
}

/** Has it done; gives the lines that the command line prints of it. Raises BorealisError. */
export type CommandDoer = (asked: AskedCommand, wait: CommandWait) => Promise<readonly string[]>;

export interface ClusterCommandsOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly command: CommandDoer;
}

/** What clients of the admin database have the cluster do. */
export class ClusterCommands {
  private readonly options: ClusterCommandsOptions;
  private underWay = 0;

  constructor(options: ClusterCommandsOptions) {
    this.options = options;
  }

  /** Raises 53300 for one too many, the signal's reason when nobody waits any more, and what the command raises. */
  async run(order: ClusterOrder, by: Asker, wait: CommandWait): Promise<readonly string[]> {
    if (this.underWay >= underWayMax)
      throw new BorealisError(
        sqlState.tooManyConnections,
        `${underWayMax} commands of the admin database are under way, which is the most`,
        { hint: "Try again when one of them is done." },
      );
    const text = cut(orderText(order));
    const { logger } = this.options;
    logger.info({ event: "admin.command", ...by, command: text });
    const work = this.see({ order, by, text }, wait);
    return await orAborted(work, wait.signal);
  }

  /** To its end, whoever waits for it. */
  private async see(asked: AskedCommand, wait: CommandWait): Promise<readonly string[]> {
    const { clock, logger, command } = this.options;
    const startMs = clock.nowMs();
    const facts = (): object => ({
      user: asked.by.user,
      principal: asked.by.principal,
      command: asked.text,
      ms: Math.round(clock.nowMs() - startMs),
    });
    this.underWay++;
    try {
      const lines = await command(asked, wait);
      logger.info({ event: "admin.commandDone", ...facts() });
      return lines;
    } catch (error) {
      const code = error instanceof BorealisError ? error.code : sqlState.internal;
      const event = wait.signal.aborted ? "admin.commandLeft" : "admin.commandFailed";
      // What PostgreSQL refuses it quotes.
      const reason = hasSecret(asked.order) ? "not told: it may name the value" : messageOf(error);
      logger.warn({ event, ...facts(), code, reason });
      throw error;
    } finally {
      this.underWay--;
    }
  }
}

function cut(text: string): string {
  return text.length <= textMax ? text : `${text.slice(0, textMax)}…`;
}
