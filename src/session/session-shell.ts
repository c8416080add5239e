import { type BorealisError, messageOf } from "../base/errors.ts";
import { encodeError } from "../wire/index.ts";
import type { Action, Outcome, UpTo } from "./action.ts";
import { mayBeFenced } from "./farewells.ts";
import { Boundary } from "./boundary-shell.ts";
import { GivingWay, type Remaining } from "./departure.ts";
import type { BackendReady } from "./backend-shell.ts";
import type { ClientLink } from "./client-link.ts";
import type { Conversation } from "./conversation.ts";
import { oneMore } from "./outcomes.ts";
import { send } from "./send.ts";
import { SessionTimers } from "./session-timers.ts";
import { ServerLine } from "./server-line-shell.ts";
import type { SessionOptions } from "./session-options.ts";
import { Survivor } from "./survivor.ts";
import { type Searcher, ServerSearch } from "./server-search-shell.ts";
import { Tenancy, type Tenant } from "./tenancy-shell.ts";
import type { Target } from "./topology.ts";
import { type SessionWorld, tellOutcome, tellWorld, untilDurable } from "./world-shell.ts";

/** Moves the bytes of one session between its client and its servers, as its survivor decides. */
export class Session {
  /** What the client knows as its server's. */
  readonly pid: number;
  readonly clientKey: Buffer;
  readonly survivor: Survivor;
  readonly world: SessionWorld;
  private readonly client: ClientLink;
  /** The connection to its server at this moment. */
  line: ServerLine;
  private toServer: Buffer[] = [];
  private toClient: Buffer[] = [];
  private readonly timers: SessionTimers;
  /** An operator may have ended the server; the client's next words must not go there. */
  private isJudging = false;
  private isGated = false;
  private isClientFull = false;
  private isServerFull = false;
  private hasEnded = false;
  private readonly givingWay = new GivingWay();
  private readonly boundary = new Boundary(this, (action) => this.perform(action));
  /** How losses of its servers have ended; undefined: it has lost none. */
  outcomes: ReadonlyMap<Outcome, number> | undefined;
  /** Its place in a pool, if it has one. */
  readonly tenancy: Tenancy;
  readonly search: ServerSearch;

  constructor(options: SessionOptions) {
    const { backend, world } = options;
    this.world = world;
    this.timers = new SessionTimers(world.clock);
    this.client = this.boundary.linkTo(options.client);
    this.pid = backend.key.pid;
    this.clientKey = options.clientKey;
    this.survivor = new Survivor(world.exchangeOf(backend.target));
    const { exchange } = this.conversation;
    for (const [name, value] of backend.parameters) exchange.noteParameter(name, value);
    this.line = this.makeLine(backend, options.isParked !== true);
    const self: Tenant & Searcher = {
      world,
      survivor: this.survivor,
      line: () => this.line,
      hasEnded: () => this.hasEnded,
      isBusy: () => this.isJudging || this.isServerFull,
      left: () => {
        this.isServerFull = false;
        // A lost one is read on, to see it leave; what the client sends is kept.
        this.readOn();
      },
      adopt: (start) => this.adopt(start),
      run: (actions) => this.run(actions),
      follow: (actions) => this.follow(actions),
      readOn: () => this.readOn(),
      isForsaken: () => this.client.closed,
      leaveHung: () =>
        this.client.closed ? this.line.destroy() : this.retire({ mayReturn: true }),
    };
    this.tenancy = new Tenancy(self);
    this.search = new ServerSearch(self);
    if (options.isParked === true) this.tenancy.parked();
    else backend.lease?.hold(this.tenancy);
  }

  get target(): Target {
    return this.line.target;
  }

  get conversation(): Conversation {
    return this.survivor.conversation;
  }

  /** The server's own pid and key, for cancel requests. */
  get backendKey(): BackendReady["key"] {
    return this.line.backend.key;
  }

  /** Tells the client that its backend is ready, and begins. `early` is what it sent ahead. */
  start(early: Buffer): void {
    const { client } = this;
    client.write(this.line.backend.greeting);
    client.onDrain(() => {
      this.isClientFull = false;
      this.readOn();
    });
    client.onEnd(() => {
      if (this.tenancy.giveBack()) return this.finish();
      this.survivor.clientEnded();
      if (this.survivor.isLive) this.line.end();
      else this.finish();
    });
    client.onClose(() => this.onClientGone());
    if (!this.survivor.isParked) this.line.attach();
    this.noteLeaving();
    if (early.length > 0) this.fromClient(early);
    client.onData((chunk) => this.fromClient(chunk));
    this.readOn();
  }

  /** Asks the server what the session has, if that may be new and nothing is under way. */
  readBack(): void {
    this.run(this.survivor.readBack());
  }

  /** Ends it, whatever it is doing. */
  terminate(cause: unknown): void {
    this.run(this.survivor.terminate(cause));
  }

  /**
   * The cluster says that this server's instance has ended, or is something else now; or it may have. Called again when
   * the cluster has changed. `mayReturn`: it may only hang; once it does not, this session may have it again.
   */
  retire({ mayReturn = false } = {}): void {
    const { line, survivor, world } = this;
    if (this.hasEnded || line.closed) return;
    line.mayReturn = mayReturn;
    if (!line.isRetired && this.tenancy.leaveIfUnused()) return;
    // It is only being made ready.
    if (!survivor.isLive) return line.destroy();
    if (!line.isRetired) {
      this.drain();
      line.retire();
      this.search.holdFor();
      this.readOn();
    }
    // Until then a commit that it has not come to yet could still come to be.
    if (world.isOver(line.target)) line.noteOver();
  }

  /**
   * Whether its writer hands over, or is to be started again, may have changed: what has begun there then comes to its end, within a
   * moment; nothing more begins. So the loss of that server undoes nothing, and leaves nothing in doubt. Or its reader hangs: it is
   * as good as lost, unless it talks to this session.
   */
  noteLeaving(): void {
    const { world, target } = this;
    if (world.isSilent(target)) this.search.hush.look();
    else if (world.isLeaving(target)) {
      this.givingWay.begin();
      this.leaveAtRest();
    } else if (this.givingWay.end()) this.readOn();
  }

  /** What the server that it is leaving has still to do for it. */
  get remaining(): Remaining {
    return this.givingWay.remaining(this.survivor, this.line);
  }

  private leaveAtRest(): void {
    if (this.hasEnded || this.isJudging || this.isServerFull) return;
    const next = this.givingWay.next(this.survivor, this.line);
    if (next !== "stay") this.client.pause();
    if (next === "ask") this.follow(this.survivor.readBack());
    if (next !== "leave") return;
    this.retire();
    this.line.letGo();
  }

  private makeLine(backend: BackendReady, isThere = true): ServerLine {
    const { clock, holdTimeoutMs } = this.world;
    const gate = this.world.gateOf(backend.target);
    return new ServerLine({
      backend,
      isThere,
      clock,
      gate,
      holdTimeoutMs,
      onBytes: (chunk) => this.boundary.runServer(() => this.run(this.survivor.fromServer(chunk))),
      onReleased: () => this.readOn(),
      onExpired: () => this.terminate(mayBeFenced),
      onDrain: () => {
        this.isServerFull = false;
        this.readOn();
      },
      onGone: () => this.boundary.run(() => this.onServerGone()),
    });
  }

  /** Nothing that the server says is told from here on; what a commit decides about is kept. */
  private drain(): void {
    const chunks = this.line.openGate();
    if (!this.survivor.isLive) return;
    this.run(this.survivor.drain());
    for (const chunk of chunks) this.run(this.survivor.fromServer(chunk));
  }

  private fromClient(chunk: Buffer): void {
    if (this.world.isPooled && this.tenancy.tookGoodbye(chunk)) return this.finish();
    this.line.noteStatement(this.conversation.exchange);
    this.run(this.survivor.fromClient(chunk));
  }

  private run(actions: Action[]): void {
    this.follow(actions);
    this.search.settled();
    this.tenancy.settled();
    this.leaveAtRest();
  }

  private follow(actions: Action[]): void {
    if (this.hasEnded) return;
    for (const action of actions) {
      if (action.kind === "toClient") this.toClient.push(action.bytes);
      else if (action.kind === "toServer") this.toServer.push(action.bytes);
      else this.perform(action);
    }
    if (this.toServer.length > 0) {
      if (!this.line.send(this.toServer)) this.isServerFull = true;
      this.toServer = [];
      if (this.isServerFull) this.client.pause();
    }
    if (this.toClient.length > 0) {
      if (!send(this.client, this.toClient)) this.isClientFull = true;
      this.toClient = [];
      if (this.isClientFull) this.line.pause();
    }
  }

  private perform(action: Exclude<Action, { kind: "toClient" | "toServer" }>): void {
    switch (action.kind) {
      case "awaitDurable":
        this.line.pause();
        // Nobody is left to be told.
        if (this.client.closed) this.line.destroy();
        else this.boundary.watch(this.awaitDurable(action.upTo));
        return;
      case "pauseClient":
        this.isGated = true;
        this.client.pause();
        return;
      case "resumeClient":
        this.isGated = false;
        this.readOn();
        return;
      case "resumeServer":
        this.readOn();
        return;
      case "readLater":
        this.timers.readLater(() => this.readBack());
        return;
      case "commitTimer":
        this.timers.setCommit(action.timeoutMs, () => this.run(this.survivor.commitTimedOut()));
        return;
      case "reconnect":
        this.boundary.watch(this.search.reconnect());
        return;
      case "askFate":
        this.boundary.watch(this.search.askFate(action, this.pid));
        return;
      case "committed":
        this.line.noteCommitted(this.world.counters);
        return;
      case "outcome":
        this.onOutcome(action.outcome, action.reason);
        return;
      case "told":
      case "traitsChanging":
      case "traitsSettled":
        tellWorld(this.world, action);
        return;
      case "fail":
        this.fail(action.error);
        return;
      case "close":
        this.finish();
    }
  }

  private fail(error: BorealisError): void {
    this.toClient.push(encodeError(error, "FATAL"));
    if (!this.client.closed) this.world.counters.told(error.code);
    this.world.logger.info({ event: "session.failed", pid: this.pid, reason: error.message });
    this.finish();
  }

  private onOutcome(outcome: Outcome, reason: string | undefined): void {
    this.search.cameTo(outcome);
    tellOutcome(this.world, { pid: this.pid, outcome, reason, instance: this.target.instanceId });
    this.outcomes = oneMore(this.outcomes, outcome);
  }

  private async awaitDurable(upTo: UpTo): Promise<void> {
    const { line } = this;
    let refusal: BorealisError | undefined;
    try {
      refusal = await untilDurable(this.world, upTo, line.target);
    } catch (error) {
      this.world.logger.warn({
        event: "commit.unconfirmed",
        pid: this.pid,
        reason: messageOf(error),
      });
      // The next writer knows what became of it.
      if (line === this.line) this.retire();
      return;
    }
    if (line === this.line && !line.isRetired) this.run(this.survivor.durable(refusal));
  }

  /** Reads whichever side may be read. */
  private readOn(): void {
    if (this.hasEnded) return;
    const { isBetween } = this.givingWay;
    const isLeaving = this.survivor.isLive && (this.line.isRetired || this.isJudging || isBetween);
    if (isLeaving) this.client.pause();
    else if (!this.isServerFull && !this.isGated) this.client.resume();
    // What waits for the gate, or for the quorum, must not be followed by more.
    if (this.line.isRetired || this.isClientFull) return;
    if (!this.survivor.isHeld && !this.line.isHolding) this.line.resume();
  }

  /** Both connections end once what was written is out. */
  private finish(): void {
    // Called while actions run: the bytes before it are still to be written.
    if (this.toClient.length > 0) send(this.client, this.toClient);
    this.toClient = [];
    this.client.end();
    this.line.leave();
    // A client that does not read would keep its socket for ever.
    this.world.clock.after(5_000, () => this.client.destroy());
    this.ended();
  }

  private onClientGone(): void {
    const { line, survivor } = this;
    if (this.tenancy.giveBack()) return this.ended();
    // Half closed, its server is nobody else's.
    survivor.clientEnded();
    for (const chunk of line.openGate()) this.run(survivor.fromServer(chunk));
    // While a completion is held the backend has nothing to say; otherwise it ends by itself at our end of stream.
    if (survivor.isHeld || !survivor.isLive) line.destroy();
    else line.end();
    // What it still says is read and dropped, or it would block for ever on a full socket.
    this.isClientFull = false;
    this.isServerFull = false;
    if (!survivor.isHeld) line.resume();
    if (line.closed || !survivor.isLive) this.ended();
  }

  private adopt(backend: BackendReady): void {
    this.line = this.makeLine(backend);
    this.noteLeaving();
    backend.lease?.hold(this.tenancy);
    this.line.attach();
    // What has come for it meanwhile.
    this.line.noteStatement(this.conversation.exchange);
  }

  private onServerGone(): void {
    if (this.client.closed) {
      this.ended();
      return;
    }
    if (this.hasEnded || this.tenancy.leaveIfUnused()) return;
    this.drain();
    const { mayBeOnPurpose, hasTerminated, hasFatal, wishes } = this.conversation.exchange;
    const isToLeave = wishes.onFailover === "disconnect" && !hasFatal;
    if (hasTerminated) this.finish();
    else if ((mayBeOnPurpose || isToLeave) && !this.line.isRetired && this.survivor.isLive)
      this.boundary.watch(this.judge(mayBeOnPurpose, isToLeave));
    else this.run(this.survivor.lost());
  }

  /** An operator ended this server process, or its whole PostgreSQL ends. */
  private async judge(mayBeOnPurpose: boolean, isToLeave: boolean): Promise<void> {
    const { world, target } = this;
    this.isJudging = true;
    this.readOn();
    const isOnPurpose = mayBeOnPurpose && (await world.wasEndedOnPurpose(target));
    // Its client comes back at once, and should not find the instance still a reader that is about to be the writer.
    if (isToLeave && !isOnPurpose) await world.untilLossIsKnown(target);
    this.isJudging = false;
    if (this.hasEnded) return;
    this.run(isOnPurpose ? this.survivor.endedOnPurpose() : this.survivor.lost());
  }

  private ended(): void {
    if (this.hasEnded) return;
    this.hasEnded = true;
    this.tenancy.close();
    this.line.leave();
    this.search.close();
    this.timers.cancel();
    this.world.onEnd();
  }
}
