import { unreachable } from "../base/assert.ts";
import { BorealisError, messageOf, ProtocolViolation, sqlState } from "../base/errors.ts";
import type { NodeId, VolumeId } from "../base/ids.ts";
import type { Connection } from "../io/index.ts";
import {
  type AcceptedLink,
  decodeObjectMessage,
  encodeObjectMessage,
  MessageFramer,
  objectBytesMax,
  type ObjectMessage,
  objectNamesMax,
  objectPartBytesMax,
  type ObjectRefusalReason,
  type PutObject,
  type ReceivedObjectMessage,
  refusalBytesMax,
} from "../quorum/index.ts";
import { NodeObjects, type NodeObjectsDeps } from "./objects-shell.ts";
import { PartQueue } from "./part-queue-shell.ts";

/** Requests on one link at a time; our own clients keep to far fewer. */
const requestsMax = 32;
/** Parts that wait for the disk, on one link; beyond this nothing more is read from it for now. */
const waitingBytesMax = 4 * objectPartBytesMax;
/** Beyond this no further part of an answer is read from the disk before the peer has taken some. */
const unsentBytesMax = objectPartBytesMax;

export interface ObjectLinksOptions extends NodeObjectsDeps {
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
  /** A bug of ours. */
  readonly onFailed: (error: unknown) => void;
}

/** The links on which objects are put and read. */
export class ObjectLinks {
  private readonly links = new Set<ObjectLink>();
  private readonly options: ObjectLinksOptions;
  private readonly objects: NodeObjects;

  constructor(options: ObjectLinksOptions) {
    this.options = options;
    this.objects = new NodeObjects(options);
  }

  /** Before the first link. */
  start(): Promise<void> {
    return this.objects.start();
  }

  /** Serves the link from now on. */
  accept(accepted: AcceptedLink): void {
    const { sender } = accepted.hello;
    const { logger } = this.options;
    const link = new ObjectLink(accepted, {
      ...this.options,
      objects: this.objects,
      onWrite: () => this.endOlder(link),
      onClosed: (error) => {
        this.links.delete(link);
        const reason = error ? messageOf(error) : "peer has finished";
        logger.info({ event: "objectLink.closed", sender, reason });
      },
    });
    this.links.add(link);
    logger.info({ event: "objectLink.opened", sender });
    link.serve();
  }

  closeAll(): void {
    for (const link of this.links) link.close(new Error("node is closing"));
  }

  /**
   * What a sender has put on a link that it gave up must not come after what it says on its next: a manifest would come back
   * that it has deleted since. (Links are in the order of their hellos.)
   */
  private endOlder(link: ObjectLink): void {
    for (const older of this.links) {
      if (older === link) return;
      if (older.sender === link.sender) older.close(new Error("its sender writes on a newer link"));
    }
  }
}

interface OpenPut {
  readonly parts: PartQueue;
  /** Of those that have not come. */
  leftBytes: number;
}

class ObjectLink {
  readonly sender: string;
  private readonly connection: Connection;
  private readonly early: Buffer;
  private readonly options: LinkOptions;
  private readonly framer = new MessageFramer();
  private readonly puts = new Map<bigint, OpenPut>();
  private running = 0;
  private waitingBytes = 0;
  private drained: (() => void)[] = [];
  private isClosed = false;

  constructor({ connection, early, hello }: AcceptedLink, options: LinkOptions) {
    this.sender = hello.sender;
    this.connection = connection;
    this.early = early;
    this.options = options;
  }

  serve(): void {
    const { connection, early } = this;
    connection.onEnd(() => connection.end());
    connection.onClose((error) => this.onClosed(error));
    connection.onDrain(() => this.onDrained());
    if (early.length > 0) this.onData(early);
    connection.onData((chunk) => this.onData(chunk));
  }

  close(error: Error): void {
    // What has come and was not looked at yet is nothing any more.
    this.isClosed = true;
    this.connection.destroy(error);
  }

  /** Else its sender waits no more, and may have said something else since. */
  private readonly isWanted = (): boolean => !this.isClosed;

  private onData(chunk: Buffer): void {
    try {
      for (const bytes of this.framer.push(chunk)) {
        if (this.isClosed) return;
        this.onMessage(decodeObjectMessage(bytes));
      }
    } catch (error) {
      if (!(error instanceof ProtocolViolation)) throw error;
      this.close(error);
    }
  }

  private onMessage({ envelope, message }: ReceivedObjectMessage): void {
    const { volumeId, nodeId, objects, onWrite } = this.options;
    const { requestId, target } = envelope;
    if (target !== nodeId || envelope.volumeId !== volumeId)
      throw new ProtocolViolation(`a request to node ${target}`);
    switch (message.kind) {
      case "putObject":
        onWrite();
        return this.beginPut(requestId, message);
      case "objectPart":
        return this.onPart(requestId, message.bytes);
      case "getObject":
        return this.run(requestId, () => this.give(requestId, message.name));
      case "hasObjects":
        return this.run(requestId, async () => {
          const found = await objects.has(message.names);
          return { kind: "objectsFound", areThere: message.names.map((name) => found.has(name)) };
        });
      case "listObjects":
        return this.run(requestId, async () => {
          const listed = await objects.list(message.prefix, message.after, objectNamesMax);
          return { kind: "objectList", objects: listed, isEnd: listed.length < objectNamesMax };
        });
      case "deleteObjects":
        onWrite();
        return this.run(requestId, () => done(objects.delete(message.names, this.isWanted)));
      case "tidyObjects":
        onWrite();
        return this.run(requestId, () => done(objects.tidy(message.beforeMs)));
      case "objectData":
      case "objectAbsent":
      case "objectsFound":
      case "objectList":
      case "objectsDone":
      case "objectRefused":
        throw new ProtocolViolation(`${message.kind} is no request`);
      default:
        return unreachable(message);
    }
  }

  /** Answers with what the work gives, or why there is nothing. */
  private run(requestId: bigint, work: () => Promise<ObjectMessage | undefined>): void {
    if (++this.running > requestsMax) throw new ProtocolViolation(`${requestsMax} requests wait`);
    void work()
      .then(
        (message) => {
          if (message) this.say(requestId, message);
        },
        (error: unknown) => this.refuse(requestId, error),
      )
      .finally(() => this.running--);
  }

  private refuse(requestId: bigint, error: unknown): void {
    if (!(error instanceof BorealisError)) return this.options.onFailed(error);
    const { logger } = this.options;
    const message = Buffer.from(error.message).toString("utf8", 0, refusalBytesMax / 2);
    logger.warn({ event: "object.refused", sender: this.sender, code: error.code }, error.message);
    this.say(requestId, { kind: "objectRefused", reason: reasonOf(error), message });
  }

  private say(requestId: bigint, message: ObjectMessage): void {
    if (this.isClosed) return;
    const { volumeId, nodeId, name } = this.options;
    const envelope = { volumeId, sender: name, target: nodeId, requestId };
    this.connection.write(encodeObjectMessage(envelope, message));
  }

  // Puts.

  private beginPut(requestId: bigint, { name, sizeBytes, bytes }: PutObject): void {
    if (this.puts.has(requestId)) throw new ProtocolViolation("a put under a number in use");
    if (this.puts.size >= requestsMax) throw new ProtocolViolation(`${requestsMax} puts wait`);
    const put = { parts: new PartQueue((count) => this.onReleased(count)), leftBytes: sizeBytes };
    this.puts.set(requestId, put);
    this.run(requestId, () => this.receive(put, name, sizeBytes));
    this.addPart(requestId, put, bytes);
  }

  private onPart(requestId: bigint, bytes: Uint8Array): void {
    const put = this.puts.get(requestId);
    if (!put) throw new ProtocolViolation("a part of nothing");
    if (bytes.length > 0) return this.addPart(requestId, put, bytes);
    this.puts.delete(requestId);
    put.parts.close();
  }

  private addPart(requestId: bigint, put: OpenPut, bytes: Uint8Array): void {
    if (bytes.length > put.leftBytes)
      throw new ProtocolViolation("more parts than there should be");
    put.leftBytes -= bytes.length;
    if (put.leftBytes === 0) this.puts.delete(requestId);
    this.waitingBytes += bytes.length;
    if (this.waitingBytes > waitingBytesMax) this.connection.pause();
    if (bytes.length > 0) put.parts.push(bytes);
  }

  private onReleased(count: number): void {
    const before = this.waitingBytes;
    this.waitingBytes -= count;
    const isBelow = this.waitingBytes <= waitingBytesMax;
    if (before > waitingBytesMax && isBelow && !this.isClosed) this.connection.resume();
  }

  private async receive(
    { parts }: OpenPut,
    name: string,
    sizeBytes: number,
  ): Promise<ObjectMessage | undefined> {
    try {
      const draft = await this.options.objects.draft(name, sizeBytes);
      let isKept = false;
      try {
        let left = sizeBytes;
        while (left > 0) {
          const part = await parts.next();
          if (!part) return undefined;
          await draft.write(part);
          left -= part.length;
        }
        isKept = await draft.keep(this.isWanted);
        return isKept ? { kind: "objectsDone" } : undefined;
      } finally {
        if (!isKept) await draft.drop();
      }
    } finally {
      parts.close();
    }
  }

  // Answers in parts.

  private async give(requestId: bigint, name: string): Promise<ObjectMessage | undefined> {
    const file = await this.options.objects.open(name);
    if (!file) return { kind: "objectAbsent" };
    try {
      const { sizeBytes } = file;
      if (sizeBytes > objectBytesMax) throw damaged(name, `it has ${sizeBytes} bytes`);
      for (let at = 0; at === 0 || at < sizeBytes; at += objectPartBytesMax) {
        const bytes = Buffer.allocUnsafe(Math.min(objectPartBytesMax, sizeBytes - at));
        if ((await file.read(bytes, at)) < bytes.length) throw damaged(name, "it is cut short");
        const first = { kind: "objectData", sizeBytes, bytes } as const;
        this.say(requestId, at === 0 ? first : { kind: "objectPart", bytes });
        await this.untilDrained();
        if (this.isClosed) break;
      }
      return undefined;
    } finally {
      await file.close();
    }
  }

  private untilDrained(): Promise<void> {
    if (this.isClosed || this.connection.bufferedBytes <= unsentBytesMax) return Promise.resolve();
    return new Promise((resolve) => void this.drained.push(resolve));
  }

  private onDrained(): void {
    for (const goOn of this.drained.splice(0)) goOn();
  }

  private onClosed(error: Error | undefined): void {
    this.isClosed = true;
    for (const { parts } of this.puts.values()) parts.close();
    this.puts.clear();
    this.onDrained();
    this.options.onClosed(error);
  }
}

interface LinkOptions extends ObjectLinksOptions {
  readonly objects: NodeObjects;
  /** Something is about to be changed on this link. */
  readonly onWrite: () => void;
  readonly onClosed: (error: Error | undefined) => void;
}

async function done(work: Promise<unknown>): Promise<ObjectMessage> {
  await work;
  return { kind: "objectsDone" };
}

function damaged(name: string, why: string): BorealisError {
  return new BorealisError(sqlState.dataCorrupted, `the object ${name} is damaged: ${why}`);
}

function reasonOf({ code }: BorealisError): ObjectRefusalReason {
  switch (code) {
    case sqlState.diskFull:
      return "noSpace";
    case sqlState.dataCorrupted:
      return "damaged";
    case sqlState.notSupported:
      return "notKept";
    default:
      return "failed";
  }
}
