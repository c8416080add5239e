import { BorealisError, OutcomeUnknown, ProtocolViolation } from "../base/errors.ts";
import { encodeError } from "../wire/index.ts";
import type { Action } from "./action.ts";
import { ClientSide } from "./client-side.ts";
import { endedByOperator } from "./farewells.ts";
import { Exchange } from "./exchange.ts";
import type { ExchangeOptions, Succession } from "./exchange-options.ts";
import { ServerSide } from "./server-side.ts";

/**
 * One client's conversation with one backend after the start-up, pure: bytes in, actions out. Bytes pass as they are;
 * what is added, taken out and held back is told in client-side.ts and server-side.ts. The first ReadyForQuery has
 * been passed on before it begins.
 */
export class Conversation {
  readonly exchange: Exchange;
  readonly client: ClientSide;
  readonly server: ServerSide;
  private hasEnded = false;
  private isDraining = false;

  constructor(options: ExchangeOptions, succession?: Succession) {
    this.exchange = new Exchange(options, succession);
    this.client = new ClientSide(this.exchange);
    this.server = new ServerSide(this.exchange);
  }

  /** Between the client's messages and with nothing owed. */
  get isIdle(): boolean {
    return this.exchange.cycles.length === 0;
  }

  /** Its server is lost, and only read to its end. */
  get isEnding(): boolean {
    return this.isDraining || this.hasEnded;
  }

  /** The server must not be read before `durable`. */
  get isHeld(): boolean {
    return this.server.isBlocked;
  }

  /** Forgets the bytes that it saw last: it will not be used for a while, or not again. */
  letGo(): void {
    this.client.letGo();
    this.server.letGoOfChunk();
  }

  fromClient(chunk: Buffer): Action[] {
    if (this.hasEnded) return [];
    try {
      this.client.push(chunk);
    } catch (error) {
      if (!(error instanceof ProtocolViolation)) throw error;
      this.end(error);
    }
    return this.exchange.takeActions();
  }

  fromServer(chunk: Buffer): Action[] {
    return this.follow(() => {
      this.server.push(chunk);
      if (!this.isDraining && !this.exchange.hasDiffered) this.client.goOn();
    });
  }

  /** The server is lost: what it has said so far is told no more, and looked at. Then what comes is, too. */
  drain(): Action[] {
    this.isDraining = true;
    return this.follow(() => this.server.drain());
  }

  private follow(step: () => void): Action[] {
    if (this.hasEnded) return [];
    try {
      step();
    } catch (error) {
      if (!(error instanceof BorealisError)) throw error;
      const isOurs = error instanceof ProtocolViolation || this.exchange.mayHaveCommitted;
      this.end(isOurs ? this.exchange.lossOf(error) : error);
    }
    return this.exchange.takeActions();
  }

  /** What `awaitDurable` asked for has become true; `refusal`: or is undone, and the client hears why in the place of success. */
  durable(refusal?: BorealisError): Action[] {
    return this.follow(() => {
      if (refusal) this.server.refuse(encodeError(refusal, "ERROR"));
      else this.server.release();
      // What has waited may be no protocol.
      this.client.goOn();
    });
  }

  commitTimedOut(): Action[] {
    if (!this.exchange.mayHaveCommitted) return [];
    return this.finish(
      new OutcomeUnknown("the commit was not durable within borealis.commit_timeout", {
        hint: "It may still become so. Look for the transaction's effects before you repeat it.",
      }),
    );
  }

  /** The client has closed its side: that its backend then goes is no news. */
  clientEnded(): void {
    this.exchange.hasTerminated = true;
  }

  /** The session ends here: 08007 if something may have been committed, else `cause`, or 57P01. */
  terminate(cause?: unknown): Action[] {
    if (this.hasEnded || this.exchange.hasTerminated) return [];
    // The client has got the server's own last words.
    if (this.exchange.hasFatal) return this.finish(undefined);
    return this.finish(this.exchange.lossOf(cause));
  }

  /** Somebody has ended its server process, and only that; nothing is in doubt. The client hears what the server said. */
  endedOnPurpose(): Action[] {
    const { lastWords, holdsAsides } = this.exchange;
    if (!lastWords || holdsAsides) return this.finish(endedByOperator);
    this.hasEnded = true;
    return [{ kind: "toClient", bytes: lastWords.bytes }, { kind: "close" }];
  }

  /** With another server, where nothing was under way with the last. */
  goesOn(): void {
    this.exchange.hasAdvanced = false;
    this.exchange.lastWords = undefined;
    this.exchange.wasCutShort = false;
    this.exchange.wasEndedInCommit = false;
  }

  /** Another server follows, and this is what it has told of itself. */
  follows(parameters: ReadonlyMap<string, string>): void {
    const { exchange } = this;
    for (const [name, value] of parameters) {
      exchange.parameters.set(name, value);
      exchange.memory.parameter(name, value);
    }
  }

  /** A cancel request goes, or may just have gone, to the backend. */
  cancelled(): void {
    const { cycles } = this.exchange;
    for (let index = 0; index < cycles.length; index++) {
      const cycle = cycles.at(index);
      if (cycle) cycle.wasCancelled = true;
    }
  }

  private finish(error: BorealisError | undefined): Action[] {
    if (this.hasEnded) return [];
    this.end(error);
    return this.exchange.takeActions();
  }

  private end(error: BorealisError | undefined): void {
    this.hasEnded = true;
    // In the middle of a message, whatever else the client is told would be taken for the rest of that.
    const isHeard = error !== undefined && !this.server.isMidMessage;
    this.exchange.add(isHeard ? { kind: "fail", error } : { kind: "close" });
  }
}
