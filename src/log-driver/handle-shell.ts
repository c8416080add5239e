import { BorealisError, sqlState } from "../base/errors.ts";
import type { Lsn } from "../base/lsn.ts";
import { startWorker, type WorkerThread } from "../io/index.ts";
import type { Member, Pin } from "../quorum/index.ts";
import { noFeedback, type StandbyFeedback } from "../wire/index.ts";
import type {
  Claimed,
  DriverEvent,
  DriverRequest,
  DriverSettings,
  DriverStatus,
  FromDriver,
  Opened,
  PgTarget,
  PinWish,
  TimelineChoice,
  ToDriver,
  VolumeNode,
} from "./driver-messages.ts";
import { DriverCounts } from "./driver-figures.ts";
import { type DriverProgress, SharedProgress } from "./progress.ts";

/** What the worker is started with. */
export interface DriverWorkerData {
  readonly settings: DriverSettings;
  readonly memory: SharedArrayBuffer;
  /** Of DriverCounts. */
  readonly counts: SharedArrayBuffer;
}

interface Waiting {
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

interface Waiter {
  readonly of: "vdl" | "vcl";
  readonly at: Lsn;
  resolve(): void;
  reject(error: unknown): void;
}

/**
 * The agent's side of the log driver, which lives in a thread of its own and is warm from the start. A writer's life:
 * claim, compare the local WAL (or promote), open, attach. After `standDown`, or whenever a step raised, the next step
 * is claim again: it begins with a fresh machine. One step at a time.
 */
export class LogDriverHandle {
  private readonly worker: WorkerThread;
  private readonly shared = new SharedProgress();
  private readonly waiting = new Map<number, Waiting>();
  private waiters: Waiter[] = [];
  private eventHandler: ((event: DriverEvent) => void) | undefined;
  private lastId = 0;
  private isGone = false;
  private isStopping = false;
  private crashReason: string | undefined;

  constructor(settings: DriverSettings, counts: DriverCounts) {
    const { memory } = this.shared;
    const data: DriverWorkerData = { settings, memory, counts: counts.memory };
    this.worker = startWorker({ name: "./worker-shell", base: import.meta.url }, data);
    // The thread posts FromDriver and nothing else.
    this.worker.onMessage((message) => this.onMessage(message as FromDriver));
    this.worker.onExit((error) => this.onExit(error));
  }

  /** VDL, VCL and the rest as they are now; costs a few loads. */
  get progress(): DriverProgress {
    return this.shared.read();
  }
  get vdl(): Lsn {
    return this.shared.vdl;
  }

  /** Until when results of this epoch may be released, as nowMs() of this host; 0: there is no lease. */
  get leaseUntilMs(): number {
    return this.shared.leaseUntilMs;
  }

  /** Resolves at the next lease, at once if there is one. Raises 57P03 when the epoch ends first. */
  async untilLeased(): Promise<void> {
    await this.ask({ kind: "lease" });
  }

  /**
   * Resolves when a heartbeat round that began after this call is confirmed: no newer epoch was open when it was made.
   * Raises 57P03 when the epoch ends first.
   */
  async untilRound(): Promise<void> {
    await this.ask({ kind: "round" });
  }

  /** What happens unasked. One handler. */
  onEvent(handler: (event: DriverEvent) => void): void {
    this.eventHandler = handler;
  }

  /**
   * Takes ownership of the volume at a write quorum, above every epoch that it meets, and finds the recovery LSN. An
   * older owner is fenced from here on. Raises 57P03 when no write quorum answers in time, or another claimant is
   * quicker; XX001 when storage has lost acknowledged log.
   */
  async claim(): Promise<Claimed> {
    this.rejectWaiters(stoodDown("a new claim begins"));
    return (await this.ask({ kind: "claim" })) as Claimed; // the thread's answer to a claim
  }

  /**
   * Brings the nodes to the recovery LSN under the claimed epoch; resolves when a write quorum holds it. `keep`: the
   * instance's own WAL is the volume's up to there, and it goes on with its timeline.
   */
  async open(timeline: TimelineChoice): Promise<Opened> {
    return (await this.ask({ kind: "open", timeline })) as Opened; // the thread's answer to an open
  }

  /**
   * Becomes the synchronous standby of `target` and streams from the recovery LSN on. Raises 55000 when this
   * PostgreSQL is not at the recovery LSN, on the registered timeline and of this volume: it must not be a writer.
   */
  async attach(target: PgTarget): Promise<void> {
    await this.ask({ kind: "attach", target });
  }

  /** Lets PostgreSQL go, for its planned stop or restart; the epoch is kept. */
  async detach(): Promise<void> {
    await this.ask({ kind: "detach" });
  }

  /** Ends the epoch, and tells the nodes that it answers no reads any more (decisions.md D6 says when that may be). */
  async release(): Promise<void> {
    await this.ask({ kind: "release" });
    this.rejectWaiters(stoodDown("the epoch was released"));
  }

  /** Gives up the epoch: links are dropped, nothing is acknowledged any more. Claim begins anew. */
  async resign(): Promise<void> {
    await this.ask({ kind: "resign" });
    this.rejectWaiters(stoodDown("the epoch was given up"));
  }

  /**
   * Makes these the members (quorum-protocol.md 10), whatever they are now: resolves when they alone count and a write
   * quorum of them knows it, so that who is out may go. It may be asked again at any time. Raises 57P03 when no epoch is
   * open or it ends first, 55000 when others are asked for meanwhile, 22023 for a set that is no protection group.
   */
  async changeMembers(members: readonly Member[]): Promise<void> {
    await this.ask({ kind: "changeMembers", members });
  }

  /**
   * Keeps log for a clone: resolves with the pin when a write quorum has it. May be asked again under the same id. Raises
   * 22023 where there is no log, 57P03 when no epoch is open or it ends first.
   */
  async pin(wish: PinWish): Promise<Pin> {
    return (await this.ask({ kind: "pin", wish })) as Pin; // the thread's answer to a pin
  }

  /** The clone needs its log no more: resolves when a write quorum knows. Raises 57P03 as pin does. */
  async unpin(pinId: string): Promise<void> {
    await this.ask({ kind: "unpin", pinId });
  }

  /**
   * It may have to claim one day: links to the nodes are made now, and kept, which a claim in a failover would wait for.
   * They cost a node a socket; nothing is said on them.
   */
  standBy(): void {
    this.post({ kind: "standBy" });
  }

  /** Every node that may be a member, with its address; replaces what was known. */
  setNodes(nodes: readonly VolumeNode[]): void {
    this.post({ kind: "setNodes", nodes });
  }

  /** Nothing needs log below `lsn` any more: a record end, aligned as decisions.md D39 says. Lost with the epoch. */
  wantLow(lsn: Lsn): void {
    this.post({ kind: "wantLow", lsn });
  }

  async status(): Promise<DriverStatus> {
    return (await this.ask({ kind: "status" })) as DriverStatus; // the thread's answer to a status
  }

  /** The oldest transaction that readers may still see; undefined: none. Repeated after each attach. */
  setFeedback(feedback: StandbyFeedback | undefined): void {
    this.post({ kind: "setFeedback", feedback: feedback ?? noFeedback });
  }

  /** Resolves when VDL has passed `at`. Raises 57P03 when this epoch ends first, or the signal's reason. */
  waitForVdl(at: Lsn, signal?: AbortSignal): Promise<void> {
    return this.waitFor("vdl", at, signal);
  }

  /** The same for VCL: for positions that may lie inside a record, as PostgreSQL's flush position. */
  waitForVcl(at: Lsn, signal?: AbortSignal): Promise<void> {
    return this.waitFor("vcl", at, signal);
  }

  private waitFor(of: Waiter["of"], at: Lsn, signal: AbortSignal | undefined): Promise<void> {
    if (this.shared[of] >= at) return Promise.resolve();
    return new Promise((resolve, reject) => {
      if (this.isGone) return reject(gone());
      if (signal?.aborted) return reject(signal.reason);
      const onAbort = (): void => {
        this.waiters = this.waiters.filter((other) => other !== waiter);
        reject(signal?.reason);
      };
      const waiter: Waiter = {
        of,
        at,
        resolve: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
        reject: (error) => {
          signal?.removeEventListener("abort", onAbort);
          reject(error);
        },
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.waiters.push(waiter);
      this.settleWaiters();
    });
  }

  /** Ends the thread. What it holds in memory is on the nodes or not acknowledged. */
  stop(): void {
    this.isStopping = true;
    this.worker.stop();
  }

  /** Ends the thread as if it had died: an injected fault. */
  crash(reason: string): void {
    this.crashReason = reason;
    this.worker.stop();
  }

  private ask(request: DriverRequest): Promise<unknown> {
    return new Promise((resolve, reject) => {
      if (this.isGone) return reject(gone());
      const id = ++this.lastId;
      this.waiting.set(id, { resolve, reject });
      this.post({ kind: "request", id, request });
    });
  }

  private post(message: ToDriver): void {
    this.worker.post(message);
  }

  private onMessage(message: FromDriver): void {
    switch (message.kind) {
      case "answer":
        this.take(message.id)?.resolve(message.result);
        return;
      case "refusal": {
        const { code, hint } = message;
        const facts = hint === undefined ? {} : { hint };
        this.take(message.id)?.reject(new BorealisError(code, message.message, facts));
        return;
      }
      case "awaitedReached":
        return this.settleWaiters();
      default:
        if (message.event.kind === "standDown") this.rejectWaiters(stoodDown(message.event.reason));
        this.eventHandler?.(message.event);
    }
  }

  private take(id: number): Waiting | undefined {
    const waiting = this.waiting.get(id);
    this.waiting.delete(id);
    return waiting;
  }

  /** Publishes the lowest awaited LSN, then looks once more: the thread looks in the other order. */
  private settleWaiters(): void {
    for (;;) {
      const { vdl, vcl } = this.shared;
      const isReached = ({ of, at }: Waiter): boolean => at <= (of === "vdl" ? vdl : vcl);
      const reached = this.waiters.filter(isReached);
      if (reached.length > 0) this.waiters = this.waiters.filter((waiter) => !isReached(waiter));
      const lowest = this.waiters.reduce<Lsn | undefined>(
        (low, { at }) => (low === undefined || at < low ? at : low),
        undefined,
      );
      this.shared.awaited = lowest;
      for (const waiter of reached) waiter.resolve();
      if (!this.waiters.some((waiter) => this.shared[waiter.of] >= waiter.at)) return;
    }
  }

  private rejectWaiters(error: BorealisError): void {
    const { waiters } = this;
    this.waiters = [];
    this.shared.awaited = undefined;
    for (const waiter of waiters) waiter.reject(error);
  }

  private onExit(error: Error | undefined): void {
    this.isGone = true;
    for (const waiting of this.waiting.values()) waiting.reject(gone(error));
    this.waiting.clear();
    this.rejectWaiters(gone(error));
    if (this.isStopping) return;
    const reason = this.crashReason ?? (error ? error.message : "the log driver's thread ended");
    this.eventHandler?.({ kind: "failed", reason });
  }
}

function gone(cause?: Error): BorealisError {
  const facts = cause ? { cause } : {};
  return new BorealisError(sqlState.cannotConnectNow, "the log driver is gone", facts);
}

function stoodDown(reason: string): BorealisError {
  return new BorealisError(sqlState.cannotConnectNow, `the log driver stood down: ${reason}`);
}

/** Starts the driver's thread. It does nothing until it is asked to claim. What it counts is added to `counts`. */
export function startLogDriver(
  settings: DriverSettings,
  counts: DriverCounts = new DriverCounts(),
): LogDriverHandle {
  return new LogDriverHandle(settings, counts);
}
