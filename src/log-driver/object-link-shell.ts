import { BorealisError, messageOf, ProtocolViolation, sqlState } from "../base/errors.ts";
import type { Clock, Connection, Timer } from "../io/index.ts";
import {
  decodeObjectMessage,
  encodeObjectMessage,
  type LinkOptions,
  MessageFramer,
  type ObjectMessage,
  objectPartBytesMax,
  openLink,
} from "../quorum/index.ts";

/** One request under way. */
interface Exchange {
  /** Gives true when this was the last of the answer. Raises what it says is wrong, which ends the request. */
  take(message: ObjectMessage): boolean;
  end(error?: Error): void;
  /** Something came, or was taken: the node is at it. */
  noteProgress(): void;
}

/** A link to a node's objects: requests overlap, each with its answers. Whatever goes wrong with the link ends it. */
export class ObjectLink {
  private readonly options: ObjectLinkOptions;
  private readonly connection: Connection;
  private readonly framer = new MessageFramer();
  private readonly exchanges = new Map<bigint, Exchange>();
  private lastRequestId = 0n;
  private drained: (() => void)[] = [];
  private failure: Error | undefined;
  private isClosed = false;

  /** Raises as openLink does. */
  static async open(options: ObjectLinkOptions): Promise<ObjectLink> {
    const { connection, early } = await openLink(options, "object");
    return new ObjectLink(connection, options, early);
  }

  private constructor(connection: Connection, options: ObjectLinkOptions, early: Buffer) {
    this.connection = connection;
    this.options = options;
    connection.onEnd(() => connection.end());
    connection.onClose((error) => this.onClosed(error));
    connection.onDrain(() => this.onDrained());
    if (early.length > 0) this.onData(early);
    connection.onData((chunk) => this.onData(chunk));
  }

  get closed(): boolean {
    return this.isClosed;
  }

  close(error?: Error): void {
    this.failure ??= error;
    this.isClosed = true;
    this.connection.destroy(error);
  }

  /** The one answer to a request. Raises BorealisError 08006 when the link is lost or nothing came in time. */
  async ask(message: ObjectMessage): Promise<ObjectMessage> {
    let answer: ObjectMessage | undefined;
    await this.exchange(message, (one) => {
      answer = one;
      return true;
    }).whole;
    if (answer) return answer;
    throw new ProtocolViolation(`no answer to ${message.kind}`);
  }

  /** The answer to a put. `bytes` are not to change until it is there. Raises as `ask` does. */
  async put(name: string, bytes: Uint8Array): Promise<ObjectMessage> {
    const sizeBytes = bytes.length;
    const partAt = (at: number): Uint8Array => bytes.subarray(at, at + objectPartBytesMax);
    let answer: ObjectMessage | undefined;
    const request = { kind: "putObject", name, sizeBytes, bytes: partAt(0) } as const;
    const { requestId, whole } = this.exchange(request, (one) => {
      answer = one;
      return true;
    });
    const sending = this.sendParts(requestId, sizeBytes, partAt);
    await whole;
    await sending;
    if (answer) return answer;
    throw new ProtocolViolation("no answer to a put");
  }

  /** All answers to a request, one after the other, until `take` gives true. Raises as `ask` does, and what `take` raises. */
  async all(message: ObjectMessage, take: (answer: ObjectMessage) => boolean): Promise<void> {
    await this.exchange(message, take).whole;
  }

  private exchange(
    message: ObjectMessage,
    take: (message: ObjectMessage) => boolean,
  ): { readonly requestId: bigint; readonly whole: Promise<void> } {
    const requestId = ++this.lastRequestId;
    const whole = new Promise<void>((resolve, reject) => {
      if (this.isClosed) return reject(this.lost());
      const { clock, answerTimeoutMs } = this.options;
      const onSilence = (): void =>
        this.close(new Error(`nothing was heard for ${answerTimeoutMs} ms`));
      const watch = (): Timer => clock.after(answerTimeoutMs, onSilence);
      let timer = watch();
      this.exchanges.set(requestId, {
        take,
        end: (error) => {
          timer.cancel();
          this.exchanges.delete(requestId);
          if (error) reject(error);
          else resolve();
        },
        noteProgress: () => {
          timer.cancel();
          timer = watch();
        },
      });
      this.send(requestId, message);
    });
    return { requestId, whole };
  }

  private send(requestId: bigint, message: ObjectMessage): void {
    const { volumeId, nodeId, sender } = this.options;
    const envelope = { volumeId, sender, target: nodeId, requestId };
    this.connection.write(encodeObjectMessage(envelope, message));
  }

  /** As fast as the node takes them; stops when it has answered, which is a refusal, before it has all. */
  private async sendParts(
    requestId: bigint,
    sizeBytes: number,
    partAt: (at: number) => Uint8Array,
  ): Promise<void> {
    for (let at = objectPartBytesMax; at < sizeBytes; at += objectPartBytesMax) {
      await this.untilDrained();
      if (this.isClosed) return;
      const exchange = this.exchanges.get(requestId);
      if (!exchange) return this.send(requestId, { kind: "objectPart", bytes: new Uint8Array() });
      exchange.noteProgress();
      this.send(requestId, { kind: "objectPart", bytes: partAt(at) });
    }
  }

  private untilDrained(): Promise<void> {
    if (this.isClosed || this.connection.bufferedBytes === 0) return Promise.resolve();
    return new Promise((resolve) => void this.drained.push(resolve));
  }

  private onDrained(): void {
    for (const goOn of this.drained.splice(0)) goOn();
  }

  private onData(chunk: Buffer): void {
    try {
      for (const bytes of this.framer.push(chunk)) this.onReceived(bytes);
    } catch (error) {
      if (!(error instanceof ProtocolViolation)) throw error;
      // A peer that breaks the framing cannot be followed any further.
      this.close(error);
    }
  }

  private onReceived(bytes: Buffer): void {
    const { envelope, message } = decodeObjectMessage(bytes);
    if (envelope.target !== this.options.nodeId || envelope.volumeId !== this.options.volumeId)
      throw new ProtocolViolation(`answer in the name of node ${envelope.target}`);
    const exchange = this.exchanges.get(envelope.requestId);
    // What was still on its way when `take` had raised.
    if (!exchange) return;
    try {
      if (exchange.take(message)) exchange.end();
      else exchange.noteProgress();
    } catch (error) {
      if (error instanceof ProtocolViolation || !(error instanceof BorealisError)) throw error;
      exchange.end(error);
    }
  }

  private onClosed(error?: Error): void {
    this.isClosed = true;
    this.failure ??= error;
    for (const exchange of this.exchanges.values()) exchange.end(this.lost());
    this.onDrained();
  }

  private lost(): BorealisError {
    const why = this.failure ? `: ${messageOf(this.failure)}` : "";
    const facts = this.failure ? { cause: this.failure } : {};
    return new BorealisError(sqlState.connectionFailure, `the link was lost${why}`, facts);
  }
}

export interface ObjectLinkOptions extends LinkOptions {
  readonly clock: Clock;
  /** So long a node may be silent while something is asked of it. */
  readonly answerTimeoutMs: number;
}
