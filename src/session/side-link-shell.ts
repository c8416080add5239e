import type { ClientLink } from "./client-link.ts";

/** Who stands behind a link, in the client's place. */
export interface LinkOwner {
  /** What the session tells its client. False: stop until `drained`. */
  write(bytes: Buffer): boolean;
  /** What is written from here to `uncork` may go out at once. */
  cork(): void;
  uncork(): void;
  /** The session has said all. */
  end(): void;
  destroy(): void;
  /** Whether the session takes what its client sends has changed. */
  flow(): void;
}

const ignore = (): void => undefined;

/** One end of what a session takes for its client's socket; the other end is in this process. */
export class SideLink implements ClientLink {
  private readonly owner: LinkOwner;
  private dataHandler: (chunk: Buffer) => void = ignore;
  private drainHandler: () => void = ignore;
  private endHandler: () => void = ignore;
  private closeHandler: () => void = ignore;
  private waiting: Buffer[] = [];
  private isPaused = false;
  /** The session is in the middle of telling something: it must not be given anything to do. */
  private isTelling = false;
  /** Nothing that it tells is of interest: its greeting. */
  isMuted = false;
  closed = false;

  constructor(owner: LinkOwner) {
    this.owner = owner;
  }

  /** To the session, as from its client: now, or once it takes it. */
  deliver(bytes: Buffer): void {
    this.waiting.push(bytes);
    this.flush();
  }

  /** To the session at once, whether it takes it or not: as a socket that was read does. */
  pass(bytes: Buffer): void {
    this.dataHandler(bytes);
  }

  /** The session has not taken all that it was given. */
  get isFull(): boolean {
    return this.waiting.length > 0;
  }

  drained(): void {
    this.drainHandler();
  }

  /** The client sends no more. */
  ended(): void {
    this.endHandler();
  }

  /** The client is gone. */
  close(): void {
    if (this.closed) return;
    this.closed = true;
    this.waiting = [];
    this.closeHandler();
  }

  onData(handler: (chunk: Buffer) => void): void {
    this.dataHandler = handler;
  }

  onDrain(handler: () => void): void {
    this.drainHandler = handler;
  }

  onEnd(handler: () => void): void {
    this.endHandler = handler;
  }

  onClose(handler: () => void): void {
    this.closeHandler = handler;
    if (this.closed) handler();
  }

  write(bytes: Uint8Array): boolean {
    if (this.isMuted || this.closed) return true;
    this.isTelling = true;
    const mayGoOn = this.owner.write(Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes));
    this.isTelling = false;
    if (this.waiting.length > 0) queueMicrotask(() => this.flush());
    return mayGoOn;
  }

  cork(): void {
    this.owner.cork();
  }

  uncork(): void {
    this.owner.uncork();
  }

  pause(): void {
    this.isPaused = true;
    this.owner.flow();
  }

  resume(): void {
    this.isPaused = false;
    // Whoever resumes may be in the middle of something.
    if (this.waiting.length > 0) queueMicrotask(() => this.flush());
    else this.owner.flow();
  }

  end(bytes?: Uint8Array): void {
    if (bytes) this.write(bytes);
    this.owner.end();
  }

  destroy(): void {
    this.owner.destroy();
  }

  get mayTake(): boolean {
    return !this.isPaused;
  }

  private flush(): void {
    while (this.waiting.length > 0 && !this.isPaused && !this.isTelling && !this.closed) {
      const bytes = this.waiting.shift();
      if (bytes) this.dataHandler(bytes);
    }
    this.owner.flow();
  }
}
