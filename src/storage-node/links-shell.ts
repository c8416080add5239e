import type { Epoch, NodeId, VolumeId } from "../base/ids.ts";
import { messageOf, ProtocolViolation } from "../base/errors.ts";
import type { Clock, Connection, Logger } from "../io/index.ts";
import { type Reply } from "../acceptor/index.ts";
import {
  type AcceptedLink,
  acceptLink,
  type AppendAnswer,
  decodeMessage,
  encodeAppendAnswer,
  encodeMessage,
  type LinkPurpose,
  MessageFramer,
  type QuorumMessage,
  type ReceivedMessage,
} from "../quorum/index.ts";
import type { Faults } from "./faults-shell.ts";
import type { FeedLink } from "./feeds-shell.ts";

/** A peer that leaves more than this unread is gone or stuck; its link is closed. */
const unsentBytesMax = 32 * 1024 * 1024;

interface Link {
  readonly connection: Connection;
  readonly purpose: LinkPurpose;
  readonly framer: MessageFramer;
}

/** The links that others opened to this node, by number: whole messages in, answers out. */
export class Links {
  private readonly links = new Map<number, Link>();
  private readonly options: LinksOptions;
  private lastLink = 0;

  constructor(options: LinksOptions) {
    this.options = options;
  }

  /** Says hello and serves the connection from then on. */
  async accept(connection: Connection): Promise<void> {
    const { volumeId, nodeId, clock, logger } = this.options;
    const accepted = await acceptLink(connection, { volumeId, nodeId }, { clock });
    if (!accepted) return;
    const { hello, early } = accepted;
    if (hello.purpose === "object") return this.options.takeObjectLink(accepted);
    this.lastLink++;
    const number = this.lastLink;
    const link: Link = { connection, purpose: hello.purpose, framer: new MessageFramer() };
    this.links.set(number, link);
    connection.onClose((error) => this.onClosed(number, error));
    connection.onEnd(() => connection.end());
    const { purpose, sender } = hello;
    const isLent = purpose === "append" && this.options.lend(number, connection, early);
    logger.info({ event: "link.opened", link: number, purpose, sender, isLent });
    if (!isLent) this.serve(number, early);
  }

  /** The event loop reads this link, beginning with `early`. */
  serve(number: number, early: Buffer): void {
    const link = this.links.get(number);
    if (!link) return;
    const onData = (chunk: Buffer): void => {
      try {
        for (const bytes of link.framer.push(chunk)) {
          this.meet(number, decodeMessage(bytes));
        }
      } catch (error) {
        if (!(error instanceof ProtocolViolation)) throw error;
        // Nothing that follows could be understood.
        link.connection.destroy(error);
      }
    };
    link.connection.onDrain(() => this.options.onDrain(number));
    if (early.length > 0) onData(early);
    link.connection.onData(onData);
  }

  /** Injected faults come before the node. */
  private meet(number: number, received: ReceivedMessage): void {
    const { faults, promised, onMessage } = this.options;
    if (!faults.shared.isActive) return onMessage(number, received);
    faults.meet(received, {
      serve: (served) => onMessage(number, served),
      answer: (requestId, message) => this.send({ link: number, requestId }, message),
      isOpen: () => this.links.has(number),
      promised,
    });
  }

  send(reply: Reply, message: QuorumMessage): void {
    const link = this.links.get(reply.link);
    if (!link) return;
    const { volumeId, nodeId, name } = this.options;
    const envelope = { volumeId, sender: name, target: nodeId, requestId: reply.requestId };
    const bytes =
      link.purpose === "append" && isAppendAnswer(message)
        ? encodeAppendAnswer(envelope, message)
        : encodeMessage(envelope, message);
    link.connection.write(bytes);
    if (link.connection.bufferedBytes > unsentBytesMax) {
      link.connection.destroy(new Error("peer does not read its answers"));
    }
  }

  /** A link as its feed sees it. */
  feedLink(number: number): FeedLink {
    const connection = this.links.get(number)?.connection;
    return {
      send: (requestId, message) => this.send({ link: number, requestId }, message),
      get unsentBytes() {
        return connection?.bufferedBytes ?? 0;
      },
    };
  }

  close(number: number): void {
    this.links.get(number)?.connection.destroy();
  }
  closeAll(): void {
    for (const link of this.links.values()) link.connection.destroy();
  }

  private onClosed(number: number, error: Error | undefined): void {
    if (!this.links.delete(number)) return;
    const reason = error ? messageOf(error) : "peer has finished";
    this.options.logger.info({ event: "link.closed", link: number, reason });
    this.options.onClosed(number);
  }
}

function isAppendAnswer(message: QuorumMessage): message is AppendAnswer {
  return message.kind === "appendAck" || message.kind === "gap" || message.kind === "refuse";
}

export interface LinksOptions {
  readonly volumeId: VolumeId;
  readonly nodeId: NodeId;
  readonly name: string;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Gives an append link to a worker; false: serve it here. */
  readonly lend: (link: number, connection: Connection, early: Buffer) => boolean;
  readonly faults: Faults;
  readonly promised: () => Epoch;
  /** Objects are served by themselves. */
  readonly takeObjectLink: (accepted: AcceptedLink) => void;
  readonly onMessage: (link: number, received: ReceivedMessage) => void;
  readonly onDrain: (link: number) => void;
  readonly onClosed: (link: number) => void;
}
