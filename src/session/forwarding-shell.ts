import { InvariantBroken } from "../base/assert.ts";
import { BorealisError, ProtocolViolation } from "../base/errors.ts";
import type { Logger, Timer } from "../io/index.ts";
import { encodeError, transactionState } from "../wire/index.ts";
import { internalError } from "./boundary-shell.ts";
import { Carrying } from "./carrying.ts";
import type { ClientLink } from "./client-link.ts";
import { cancelledByClient, writerEnded } from "./farewells.ts";
import { consistencyOf, textSourceOf } from "./forward-texts.ts";
import { frontOf } from "./loss.ts";
import { ownQuery, Readiness, type ReadinessOptions } from "./readiness-shell.ts";
import type { Session } from "./session-shell.ts";
import { type LinkOwner, SideLink } from "./side-link-shell.ts";
import { returnServer } from "./tenancy-shell.ts";
import type { OwnAnswer } from "./switch-answers.ts";
import { type SideName, type SwitchAction, Switchboard } from "./switchboard.ts";
import type { Target } from "./topology.ts";
import type { SessionWorld } from "./world-shell.ts";

export interface ForwardingOptions extends ReadinessOptions {
  /** Its endpoint is for whoever there is, not for some. */
  readonly mayLeadToWriter: boolean;
  readonly client: ClientLink;
  readonly logger: Logger;
  /** Opens a session of the same login at the writer, whose client is `link`. Raises BorealisError. */
  readonly openWriter: (link: ClientLink, limits: WriterLimits) => Promise<Session>;
}

/** How long a session at the writer is waited for, at most. */
export interface WriterLimits {
  readonly withinMs: number;
  readonly isWanted: () => boolean;
}

/**
 * Stands between a client and its session where that may be on a reader. While the session's consistency mode is off it
 * passes bytes on unseen, as if it were not there. From the first moment when it is not, a switchboard decides of each
 * message whether it goes to the session or to a second one at the writer, which is opened when it is first needed. The
 * second one is a session of the writer endpoint like any other: its commits are as honest, and survive as well.
 */
export class Forwarding {
  /** What the session has for its client. */
  readonly link: ClientLink;
  private readonly options: ForwardingOptions;
  private readonly readerLink: SideLink;
  private readonly carrying = new Carrying();
  private session: Session | undefined;
  private writer: { readonly link: SideLink; readonly session: Session } | undefined;
  private board: Switchboard | undefined;
  private readonly queue: SwitchAction[] = [];
  private isPerforming = false;
  private hasBroken = false;
  private isClientHeld = false;
  private isClientFull = false;
  private idleTimer: Timer | undefined;
  private readonly readiness: Readiness;
  /** Ends what a side is being made ready by. */
  private cancelling = new AbortController();

  constructor(options: ForwardingOptions) {
    this.options = options;
    const { client } = options;
    this.readiness = new Readiness(options, {
      carrying: this.carrying,
      own: () => this.requireSession(),
      writer: () => this.writer?.session,
      openWriter: (signal) => this.openWriter(signal),
      closeWriter: () => this.closeWriter(),
      ask: (side, bytes, cycles) => this.ask(side, bytes, cycles),
    });
    this.readerLink = this.linkWith({
      write: (bytes) => this.fromSide("reader", bytes),
      end: () => this.onReaderEnd(),
      destroy: () => {
        client.destroy();
        this.closeWriter();
      },
    });
    this.link = this.readerLink;
  }

  /** `session` is the one that has `link` for its client; `early` is what the client sent ahead. */
  start(session: Session, early: Buffer): void {
    this.session = session;
    const { client } = this.options;
    client.onDrain(() => {
      this.isClientFull = false;
      this.readerLink.drained();
      this.writer?.link.drained();
    });
    client.onEnd(() => {
      this.readerLink.ended();
      this.writer?.link.ended();
    });
    session.start(Buffer.alloc(0));
    if (early.length > 0) this.fromClient(early);
    client.onData((chunk) => this.fromClient(chunk));
    client.onClose(() => {
      this.closeWriter();
      this.readerLink.close();
    });
    this.flow();
  }

  /** The session whose server runs what the client sent last: what a cancel request is for. */
  get active(): Session | undefined {
    const isForwarded = this.board?.activeSide === "writer";
    return isForwarded ? (this.writer?.session ?? this.session) : this.session;
  }

  /** True: nothing ran yet of what the client sent last, and it is told so. */
  cancelWait(): boolean {
    if (this.board?.isPreparing !== true) return false;
    this.cancelling.abort();
    return true;
  }

  /** The session's world, in which a reader that it moves to shows no less than the one that it was on. */
  adapt(world: SessionWorld): SessionWorld {
    return {
      ...world,
      connect: async (wanted) => {
        const { lost, isWanted } = wanted;
        const needsWriter = this.needsWriter(lost);
        const untilMs = world.clock.nowMs() + wanted.holdTimeoutMs;
        for (;;) {
          const holdTimeoutMs = Math.max(0, untilMs - world.clock.nowMs());
          const start = await world.connect({ ...wanted, needsWriter, holdTimeoutMs });
          if (start.kind !== "ready" || start.target.role !== "reader") return start;
          const targetOf = () => (isWanted() ? start.target : undefined);
          if (await this.readiness.sight.untilCaughtUp(targetOf, (one) => world.hasOther(one)))
            return start;
          // It hangs, too.
          world.distrust(start.target);
          returnServer(start);
        }
      },
    };
  }

  /** What it had sent to the writer itself, as its own server, and may have to run again: a reader refuses writes. */
  private needsWriter(lost: Target | undefined): boolean {
    const { mayLeadToWriter } = this.options;
    return mayLeadToWriter && lost?.role === "writer" && this.board?.isOutside === false;
  }

  private linkWith(own: Pick<LinkOwner, "write" | "end" | "destroy">): SideLink {
    const { client } = this.options;
    return new SideLink({
      ...own,
      cork: () => client.cork(),
      uncork: () => client.uncork(),
      flow: () => this.flow(),
    });
  }

  private fromClient(chunk: Buffer): void {
    if (!this.board && this.wantsBoard()) this.board = this.makeBoard();
    const { board } = this;
    if (!board) {
      this.readerLink.pass(chunk);
      return;
    }
    this.bounded(() => board.fromClient(chunk));
  }

  /** What the client has sent may be no protocol, and is looked at when its turn comes. */
  private bounded(decide: () => readonly SwitchAction[]): void {
    if (this.hasBroken) return;
    try {
      this.run(decide());
    } catch (error) {
      if (error instanceof InvariantBroken) throw error;
      const { client, logger } = this.options;
      if (!(error instanceof ProtocolViolation))
        logger.error({ event: "forwarding.broken", err: error });
      this.hasBroken = true;
      client.write(encodeError(error, "FATAL"));
      this.end();
    }
  }

  private fromSide(side: SideName, bytes: Buffer): boolean {
    const { board } = this;
    if (board) this.bounded(() => board.fromSide(side, bytes));
    else if (side === "reader") this.tell(bytes);
    return !this.isClientFull;
  }

  private tell(bytes: Buffer): void {
    if (!this.options.client.write(bytes)) this.isClientFull = true;
  }

  /** Between two statements: from here on each message is looked at. */
  private wantsBoard(): boolean {
    const conversation = this.session?.conversation;
    if (!conversation || consistencyOf(conversation.exchange) === "off") return false;
    // One without a server at this moment has none because it needs none, or gets another soon.
    const { isLive = false, holdsNothing = false } = this.session?.survivor ?? {};
    const isIdle = conversation.exchange.state === transactionState.idle;
    if (!isLive && !(isIdle && holdsNothing)) return false;
    return frontOf(conversation.exchange) === undefined && conversation.client.isAtBoundary;
  }

  private makeBoard(): Switchboard {
    const session = this.requireSession();
    session.tenancy.pin("it has forwarded writes");
    const exchange = () => session.conversation.exchange;
    return new Switchboard({
      ...textSourceOf(exchange),
      mode: () => consistencyOf(exchange()),
      isReader: () => session.target.role === "reader",
      isServed: () => session.survivor.isLive,
      carrying: this.carrying,
      isSettled: () => session.conversation.isIdle,
      state: exchange().state,
    });
  }

  private requireSession(): Session {
    if (!this.session) throw new Error("a session that has not begun");
    return this.session;
  }

  private run(actions: readonly SwitchAction[]): void {
    this.queue.push(...actions);
    if (this.isPerforming) return;
    this.isPerforming = true;
    for (let action = this.queue.shift(); action; action = this.queue.shift()) this.perform(action);
    this.isPerforming = false;
    this.flow();
  }

  private perform(action: SwitchAction): void {
    switch (action.kind) {
      case "toClient":
        this.tell(action.bytes);
        return;
      case "toSide":
        this.linkOf(action.side)?.deliver(action.bytes);
        return;
      case "pauseClient":
        this.isClientHeld = true;
        return;
      case "resumeClient":
        this.isClientHeld = false;
        return;
      case "prepare":
        void this.prepare(action);
        return;
      case "catchUp":
        void this.catchUp();
        return;
    }
  }

  private linkOf(side: SideName): SideLink | undefined {
    return side === "reader" ? this.readerLink : this.writer?.link;
  }

  /** Reads the client if what it sends can be taken. */
  private flow(): void {
    const { client } = this.options;
    const takes = (link: SideLink | undefined): boolean => !link || (link.mayTake && !link.isFull);
    const mayRead = !this.isClientHeld && takes(this.readerLink) && takes(this.writer?.link);
    if (mayRead) client.resume();
    else client.pause();
  }

  private async prepare(action: Extract<SwitchAction, { kind: "prepare" }>): Promise<void> {
    const { board, readiness } = this;
    if (!board) return;
    this.cancelling = new AbortController();
    const { signal } = this.cancelling;
    let hasMoved = false;
    try {
      if (action.side === "writer") {
        if (action.begin !== undefined) {
          hasMoved = true;
          await this.ask("reader", ownQuery("ROLLBACK"));
        }
        await readiness.ofWriter(action, signal);
        if (!this.writer) throw writerEnded;
      } else {
        await readiness.ofReader(signal);
        board.hasUnseen = false;
      }
    } catch (cause) {
      const error = this.refusalOf(cause);
      // The transaction is to be a failed one where the client goes on.
      if (hasMoved) await this.ask("reader", ownQuery("BEGIN"));
      this.bounded(() => board.refuse(error));
      return;
    }
    this.bounded(() => board.prepared());
  }

  private async catchUp(): Promise<void> {
    const { board } = this;
    if (!board) return;
    try {
      await this.readiness.ofReader(new AbortController().signal);
    } catch (cause) {
      this.refusalOf(cause);
    }
    this.bounded(() => board.caughtUp());
  }

  private refusalOf(cause: unknown): BorealisError {
    const { logger } = this.options;
    if (!(cause instanceof BorealisError)) logger.error({ event: "forwarding.broken", err: cause });
    else logger.info({ event: "forwarding.refused", code: cause.code, reason: cause.message });
    return cause instanceof BorealisError ? cause : internalError;
  }

  /** True: it is new. */
  private async openWriter(signal: AbortSignal): Promise<boolean> {
    const { client, holdTimeoutMs } = this.options;
    const { wishes } = this.requireSession().conversation.exchange;
    this.awaitIdle(wishes.idleTimeoutMs);
    if (this.writer) return false;
    this.carrying.clear();
    const link: SideLink = this.linkWith({
      write: (bytes) => (this.writer?.link === link ? this.fromSide("writer", bytes) : true),
      end: () => this.onWriterEnd(link),
      destroy: () => this.onWriterEnd(link),
    });
    const withinMs = Math.min(wishes.connectTimeoutMs, wishes.holdTimeoutMs ?? holdTimeoutMs);
    const isWanted = (): boolean => !client.closed && !signal.aborted;
    let session: Session;
    try {
      session = await this.options.openWriter(link, { withinMs, isWanted });
    } catch (error) {
      throw signal.aborted ? cancelledByClient : error;
    }
    this.writer = { link, session };
    link.isMuted = true;
    session.start(Buffer.alloc(0));
    link.isMuted = false;
    if (!client.closed) return true;
    this.closeWriter();
    throw writerEnded;
  }

  private awaitIdle(idleMs: number): void {
    this.idleTimer?.cancel();
    // The longest that a timer can wait is 24 days.
    if (idleMs > 0x7fff_ffff) return;
    this.idleTimer = this.options.clock.after(idleMs, () => {
      if (this.board?.isQuiet === true) this.closeWriter();
      else this.awaitIdle(idleMs);
    });
  }

  private onWriterEnd(link: SideLink): void {
    if (this.writer?.link !== link) return;
    const wasBusy = this.board?.isQuiet === false && this.board.activeSide === "writer";
    this.dropWriter();
    // It has told the client why, and what the client had there is over.
    if (wasBusy) this.end();
  }

  private closeWriter(): void {
    const { writer } = this;
    this.dropWriter();
    writer?.link.close();
  }

  private dropWriter(): void {
    this.writer = undefined;
    this.idleTimer?.cancel();
    if (this.board) this.run(this.board.writerGone(writerEnded));
  }

  /** Its session cannot go on: what it has under way at the writer is answered for first. */
  private onReaderEnd(): void {
    const isLeaving = this.session?.conversation.exchange.hasTerminated === true;
    if (!isLeaving && this.board?.activeSide === "writer")
      this.writer?.session.terminate(undefined);
    this.end();
  }

  /** Both sides are done with. */
  private end(): void {
    this.options.client.end();
    this.closeWriter();
    // The session's own line ends when the socket has closed.
    this.options.clock.after(5_000, () => this.options.client.destroy());
  }

  private ask(side: SideName, bytes: Buffer, cycles = 1): Promise<OwnAnswer> {
    return new Promise((resolve, reject) => {
      const { board } = this;
      if (!board || !this.linkOf(side)) {
        reject(writerEnded);
        return;
      }
      this.run(board.ask(side, bytes, cycles, resolve));
    });
  }
}
