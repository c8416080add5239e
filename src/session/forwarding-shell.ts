import { BorealisError, ProtocolViolation, sqlState } from "../base/errors.ts";
import type { Lsn } from "../base/lsn.ts";
import { type Connection, type Logger, sleep, type Timer } from "../io/index.ts";
import { encodeError, encodeSync } from "../wire/index.ts";
import { Carrying } from "./carrying.ts";
import type { ClientLink } from "./client-link.ts";
import { consistencyModeOf, consistencySetting } from "./consistency.ts";
import { notKnown, writerEnded } from "./farewells.ts";
import { textSourceOf } from "./forward-texts.ts";
import { frontOf } from "./loss.ts";
import { encodeOwnQuery, ownPrefix } from "./readback.ts";
import { ReaderSight, type ReaderSightOptions } from "./reader-sight-shell.ts";
import type { Session } from "./session-shell.ts";
import { type LinkOwner, SideLink } from "./side-link-shell.ts";
import type { OwnAnswer, OwnFailure } from "./switch-answers.ts";
import { type SideName, type SwitchAction, Switchboard } from "./switchboard.ts";
import type { Target } from "./topology.ts";
import type { SessionWorld } from "./world-shell.ts";

export interface ForwardingOptions extends ReaderSightOptions {
  readonly client: Connection;
  readonly logger: Logger;
  /** Opens a session of the same login at the writer, whose client is `link`. Raises BorealisError. */
  readonly openWriter: (link: ClientLink) => Promise<Session>;
  /** Up to where a writer has acknowledged commits: a record's end, which readers come to. */
  readonly acknowledgedOn: (target: Target) => Promise<Lsn>;
}

/** A writer's side with nothing to do is closed after so long: Aurora's apg_write_forward.idle_session_timeout. */
const idleMs = 300_000;
const retryMs = 20;
/** An end of a batch, a question, and that again if a server was lost meanwhile. */
const settlingMax = 4;

function ownQuery(sql: string): Buffer {
  return Buffer.concat([encodeOwnQuery(`${ownPrefix}forward`, sql), encodeSync()]);
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
  private isClientHeld = false;
  private isClientFull = false;
  private idleTimer: Timer | undefined;
  private readonly sight: ReaderSight;

  constructor(options: ForwardingOptions) {
    this.options = options;
    const { client } = options;
    this.sight = new ReaderSight(options);
    this.readerLink = this.linkWith({
      write: (bytes) => this.fromSide("reader", bytes),
      end: () => this.end(),
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

  /** The session's world, in which a reader that it moves to shows no less than the one that it was on. */
  adapt(world: SessionWorld): SessionWorld {
    return {
      ...world,
      connect: async (wanted) => {
        const start = await world.connect(wanted);
        if (start.kind === "ready")
          await this.sight.untilCaughtUp(() => (wanted.isWanted() ? start.target : undefined));
        return start;
      },
    };
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
    try {
      this.run(board.fromClient(chunk));
    } catch (error) {
      if (!(error instanceof ProtocolViolation)) throw error;
      this.options.client.write(encodeError(error, "FATAL"));
      this.end();
    }
  }

  private fromSide(side: SideName, bytes: Buffer): boolean {
    if (this.board) this.run(this.board.fromSide(side, bytes));
    else if (side === "reader") this.tell(bytes);
    return !this.isClientFull;
  }

  private tell(bytes: Buffer): void {
    if (!this.options.client.write(bytes)) this.isClientFull = true;
  }

  /** Between two statements: from here on each message is looked at. */
  private wantsBoard(): boolean {
    const conversation = this.session?.conversation;
    if (!conversation || this.session?.survivor.isLive !== true) return false;
    if (conversation.exchange.wishes.consistency === "off") return false;
    return frontOf(conversation.exchange) === undefined && conversation.client.isAtBoundary;
  }

  private makeBoard(): Switchboard {
    const session = this.requireSession();
    session.tenancy.pin("it has forwarded writes");
    const exchange = () => session.conversation.exchange;
    return new Switchboard({
      ...textSourceOf(exchange),
      mode: () => exchange().wishes.consistency,
      isReader: () => session.target.role === "reader",
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
        void this.prepare(action.side, action.begin);
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

  private async prepare(side: SideName, begin: string | undefined): Promise<void> {
    const { board } = this;
    if (!board) return;
    let hasMoved = false;
    try {
      if (side === "writer") {
        if (begin !== undefined) {
          hasMoved = true;
          await this.ask("reader", ownQuery("ROLLBACK"));
        }
        await this.readyWriter(begin);
        if (!this.writer) throw writerEnded;
      } else await this.untilVisible();
    } catch (cause) {
      const error = this.refusalOf(cause);
      // The transaction is to be a failed one where the client goes on.
      if (hasMoved) await this.ask("reader", ownQuery("BEGIN"));
      this.run(board.refuse(error));
      return;
    }
    this.run(board.prepared());
  }

  private refusalOf(cause: unknown): BorealisError {
    const { logger } = this.options;
    if (!(cause instanceof BorealisError)) logger.error({ event: "forwarding.broken", err: cause });
    else logger.info({ event: "forwarding.refused", code: cause.code, reason: cause.message });
    return cause instanceof BorealisError
      ? cause
      : new BorealisError(sqlState.internal, "internal error of the endpoint");
  }

  /** The writer's side has what the session has, and the transaction `begin` if there is one. */
  private async readyWriter(begin: string | undefined): Promise<void> {
    const session = this.requireSession();
    const { memory, wishes } = session.conversation.exchange;
    await this.settleReader(session);
    const told = memory.customValue(consistencySetting);
    if (typeof told === "string" && consistencyModeOf(told) !== wishes.consistency) {
      throw new BorealisError(
        sqlState.readOnly,
        "cannot forward a write: the session's consistency mode is not certain",
        { hint: `Set ${consistencySetting} again.` },
      );
    }
    const isNew = await this.openWriter();
    const carriage = this.carrying.next(memory.restore("now"), isNew);
    if (carriage) {
      const { errors } = await this.ask("writer", carriage.bytes, carriage.cycles);
      const failed = [...errors].find(([index]) => !carriage.mayFail.has(index));
      if (failed) this.failWriter(failed[1]);
    }
    if (begin === undefined) return;
    const { errors } = await this.ask("writer", ownQuery(begin));
    for (const error of errors.values()) this.failWriter(error);
  }

  /** What the session has is known, and its server owes nothing: an open batch of the client's is ended. */
  private async settleReader(session: Session): Promise<void> {
    for (let round = 0; round < settlingMax; round++) {
      const { conversation } = session;
      const isKnown = conversation.exchange.memory.needsReadback === "no";
      if (conversation.isIdle && !isKnown) session.readBack();
      if (conversation.isIdle) return;
      // Behind the question: then that is answered, too.
      await this.ask("reader", encodeSync());
    }
  }

  private failWriter(cause: OwnFailure): never {
    this.closeWriter();
    const message = `the session cannot be made ready at the writer: ${cause.message}`;
    throw new BorealisError(cause.code, message);
  }

  /** True: it is new. */
  private async openWriter(): Promise<boolean> {
    this.awaitIdle();
    if (this.writer) return false;
    this.carrying.clear();
    const link: SideLink = this.linkWith({
      write: (bytes) => (this.writer?.link === link ? this.fromSide("writer", bytes) : true),
      end: () => this.onWriterEnd(link),
      destroy: () => this.onWriterEnd(link),
    });
    const session = await this.options.openWriter(link);
    if (this.options.client.closed) {
      link.close();
      throw new BorealisError(sqlState.connectionFailure, "the client is gone");
    }
    this.writer = { link, session };
    link.isMuted = true;
    session.start(Buffer.alloc(0));
    link.isMuted = false;
    return true;
  }

  private awaitIdle(): void {
    this.idleTimer?.cancel();
    this.idleTimer = this.options.clock.after(idleMs, () => {
      if (this.board?.isQuiet === true) this.closeWriter();
      else this.awaitIdle();
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

  /** The reader shows all that was acknowledged by now: this session's own writes above all. */
  private async untilVisible(): Promise<void> {
    const session = this.requireSession();
    const { wishes } = session.conversation.exchange;
    const withinMs = wishes.holdTimeoutMs ?? this.options.holdTimeoutMs;
    const at = await this.acknowledged(withinMs, wishes.consistency === "global");
    await this.sight.untilShown(() => session.target, at, withinMs);
    if (this.board) this.board.hasUnseen = false;
  }

  /** `isOfAll`: of every session's writes, so that the writer must be known to have been the only one. */
  private async acknowledged(withinMs: number, isOfAll: boolean): Promise<Lsn> {
    const { clock, acknowledgedOn } = this.options;
    const untilMs = clock.nowMs() + withinMs;
    for (;;) {
      await this.openWriter();
      const target = this.writer?.session.target;
      // One that is being replaced does not answer: its successor knows.
      const at = target && (await acknowledgedOn(target).catch(() => undefined));
      // What a writer says passes the read gate: nobody else acknowledged anything before that.
      if (isOfAll && this.writer) await this.ask("writer", ownQuery("SELECT"));
      if (at !== undefined && this.writer?.session.target === target) return at;
      if (clock.nowMs() > untilMs) throw notKnown;
      await sleep(clock, retryMs);
    }
  }
}
