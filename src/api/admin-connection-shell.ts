import { BorealisError, ProtocolViolation, sqlState } from "../base/errors.ts";
import { afterReading } from "../io/index.ts";
import type { AdminVisit } from "../session/index.ts";
import { encodeError, frontend, frontendLengthMax, MessageScanner } from "../wire/index.ts";
import type { Answer, Ask } from "./ask.ts";
import type { CommandWait } from "./cluster-commands-shell.ts";
import type { AdminConversation } from "./conversation.ts";

/** Longer texts are nobody's, and cost the parser more than they are worth. */
const textBytesMax = 64 * 1024;
/** Type byte and length word. */
const headerBytes = 5;
/** Read while a command is waited for: by that is seen that the client has gone. */
const aheadBytesMax = 64 * 1024;

const large = new Set<number>([frontend.query, frontend.parse, frontend.bind]);

export interface ConnectionDeps {
  /** Does what the conversation asks for. */
  readonly answer: (ask: Ask, wait: CommandWait) => Promise<Answer>;
  /** Something of ours is broken. */
  readonly onBug: (error: unknown) => void;
}

/**
 * One client of the admin database and its socket: cuts its bytes into messages, whose lengths it checks, and gives them to
 * the conversation one at a time. While one is being worked on, nothing is read from the socket; while the cluster is, a
 * little.
 */
export class AdminConnection {
  private readonly visit: AdminVisit;
  private readonly conversation: AdminConversation;
  private readonly deps: ConnectionDeps;
  private readonly scanner = new MessageScanner(headOf);
  private readonly chunks: Buffer[] = [];
  private isWorking = false;
  private isOver = false;
  /** Whoever waits for what the cluster was asked to do. */
  private waiting: AbortController | undefined;
  /** Goes on when the client has read, or is gone. */
  private hasRoom = true;
  private onRoom = (): void => undefined;

  constructor(visit: AdminVisit, conversation: AdminConversation, deps: ConnectionDeps) {
    this.visit = visit;
    this.conversation = conversation;
    this.deps = deps;
  }

  start(): void {
    const { client, rest, onEnd } = this.visit;
    client.onClose(() => {
      this.isOver = true;
      this.waiting?.abort(nobodyWaits);
      this.onRoom();
      onEnd();
    });
    client.onEnd(() => client.end());
    client.onDrain(() => {
      this.hasRoom = true;
      this.onRoom();
    });
    this.conversation.greet();
    this.write();
    if (rest.length > 0) this.chunks.push(rest);
    client.onData((chunk) => {
      this.chunks.push(chunk);
      const bytes = this.chunks.reduce((sum, { length }) => sum + length, 0);
      if (this.waiting && bytes > aheadBytesMax) client.pause();
      void this.work();
    });
    client.resume();
    void this.work();
  }

  /** Says goodbye with this error, whatever is under way: what the cluster was asked to do goes on without anybody. */
  terminate(error: BorealisError): void {
    this.finish(error);
  }

  /** All that is there and the client has room for; then the socket goes on. Never fails. */
  private async work(): Promise<void> {
    if (this.isWorking || this.isOver) return;
    const { client } = this.visit;
    this.isWorking = true;
    client.pause();
    try {
      while (this.findMessage()) {
        await this.takeMessage();
        await this.flush();
        if (this.conversation.isOver) this.finish();
        // A chunk may have thousands of messages, and there are others.
        else await turn();
      }
      if (!this.isOver) client.resume();
    } catch (error) {
      if (!(error instanceof BorealisError)) this.deps.onBug(error);
      this.finish(error);
    } finally {
      // In the same turn as the last look for a message: what comes later finds nobody at work, and begins.
      this.isWorking = false;
    }
  }

  /** Goes to the next message of all that has come. False: there is none. */
  private findMessage(): boolean {
    while (!this.isOver) {
      if (this.scanner.next()) return true;
      const chunk = this.chunks.shift();
      if (!chunk) return false;
      this.scanner.begin(chunk);
    }
    return false;
  }

  /** The message that the scanner is at. */
  private async takeMessage(): Promise<void> {
    const { type, start, end, buffer } = this.scanner;
    if (end - start > textBytesMax + headerBytes) {
      this.conversation.refuse(type, tooLong);
      return;
    }
    const work = this.conversation.receive(type, buffer.subarray(start + headerBytes, end));
    let step = work.next();
    while (step.done !== true) {
      const { value: ask } = step;
      // What is ready is shown while the rest is waited for.
      await this.flush();
      // Whoever has gone is owed nothing.
      if (this.isOver) return;
      let answer: Answer | undefined;
      let failure: unknown;
      try {
        if (ask.kind === "turn") await turn();
        answer = ask.kind === "turn" ? ask : await this.answered(ask);
      } catch (error) {
        failure = error;
      }
      step = answer ? work.next(answer) : work.throw(failure);
    }
  }

  private async answered(ask: Ask): Promise<Answer> {
    const { client } = this.visit;
    const waiting = new AbortController();
    const { signal } = waiting;
    const tell = (text: string): void => this.tell(text, signal);
    if (ask.kind !== "command") return this.deps.answer(ask, { tell, signal });
    this.waiting = waiting;
    client.resume();
    try {
      return await this.deps.answer(ask, { tell, signal });
    } finally {
      this.waiting = undefined;
      if (!this.isOver) client.pause();
    }
  }

  /** Whoever does not read is told nothing more, until they do. */
  private tell(text: string, signal: AbortSignal): void {
    if (signal.aborted || !this.hasRoom) return;
    this.conversation.tell(text);
    this.write();
  }

  /** Nothing more is done until a slow client has read. */
  private async flush(): Promise<void> {
    if (this.write()) return;
    await new Promise<void>((resolve) => {
      this.onRoom = resolve;
    });
  }

  /** False: the client has no room for more. */
  private write(): boolean {
    const { client } = this.visit;
    const output = this.conversation.takeOutput();
    if (output.length === 0 || this.isOver) return true;
    this.hasRoom = client.write(
      output.length === 1 ? (output[0] ?? nothing) : Buffer.concat(output),
    );
    return this.hasRoom;
  }

  /** Undefined: the client has said goodbye. */
  private finish(error?: unknown): void {
    if (this.isOver) return;
    this.isOver = true;
    this.waiting?.abort(nobodyWaits);
    this.onRoom();
    const { client } = this.visit;
    client.onData(() => undefined);
    client.end(error === undefined ? undefined : encodeError(error, "FATAL"));
    client.resume();
    this.visit.linger();
  }
}

const nothing = Buffer.alloc(0);

/** Other sessions' bytes come first. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    afterReading(resolve);
  });
}

const nobodyWaits = new BorealisError(
  sqlState.adminShutdown,
  "nobody waits for the command any more; it goes on",
);

const tooLong = new BorealisError(
  sqlState.limitExceeded,
  `a statement of the admin database has ${textBytesMax} bytes at most`,
);

/** Whole messages, as long as they are short enough; of a longer one the head alone: its body is passed over. */
function headOf(type: number, totalBytes: number): number {
  const max = frontendLengthMax(type);
  if (max === undefined || type === frontend.password)
    throw new ProtocolViolation(`invalid frontend message type ${type}`);
  if (totalBytes - 1 > max) throw new ProtocolViolation("invalid message length");
  const isLong = totalBytes > textBytesMax + headerBytes;
  if (isLong && !large.has(type)) throw new ProtocolViolation("invalid message length");
  return isLong ? headerBytes : totalBytes;
}
