import { BorealisError, sqlState } from "../base/errors.ts";
import type { Timer } from "../io/index.ts";
import type { StartupParameter } from "../wire/index.ts";
import { type BackendReady, type BackendStart, tryBackend } from "./backend-shell.ts";
import { watchFree } from "./free-server-shell.ts";
import { poolExhausted } from "./farewells.ts";
import type { PoolsOptions } from "./pool-options-shell.ts";
import { groupsOf, limitOf } from "./connection-limits.ts";
import { blank, mayTakeOver } from "./handover.ts";
import type { Holder, Lease } from "./lease.ts";
import { maxOf } from "./pool-size-shell.ts";
import { fullForMs, Pool, type Place, type PoolAction } from "./pool.ts";
import { type PoolSight, poolSight } from "./pool-sight.ts";
import { returnServer } from "./tenancy-shell.ts";
import type { Target } from "./topology.ts";
import type { ServerStart } from "./world-shell.ts";

export interface Borrowing {
  readonly target: Target;
  /** Logins with the same key can have each other's servers. */
  readonly key: string;
  readonly parameters: readonly StartupParameter[];
  readonly isWanted: () => boolean;
  /** Whether a setting with a prefix exists in the session. */
  readonly hasCustom: (name: string) => boolean;
  /** What others have used is of no use. */
  readonly isNew?: boolean | undefined;
  /** Nothing is to be run yet. */
  readonly isLogin?: boolean;
}

/** Undefined: the instance takes no connections at this moment, or nobody is wanted any more. */
export type Borrowed = ServerStart | undefined;

/** What a session of this key is greeted with, without a server of its own. */
export type Template = ReadonlyMap<string, string>;

type Spot = Place<BackendReady, Holder>;
type Doing = PoolAction<BackendReady, Holder>;

interface Asking {
  readonly key: string;
  readonly groups: readonly string[];
  readonly borrowing: Borrowing;
  isWanted(): boolean;
  accepts(place: Spot): boolean;
  resolve(start: ServerStart | undefined): void;
}

const expireEveryMs = 5_000;
/** A few do until the instance says how many there may be. */
const unknownMax = 8;
/** Logins that differ; the first of each opens a server to know how it is greeted. */
const templatesMax = 1_000;

/** The pools of one process: one for each life of each PostgreSQL that somebody borrows of. */
export class Pools {
  private readonly options: PoolsOptions;
  private readonly houses = new Map<string, House>();

  constructor(options: PoolsOptions) {
    this.options = options;
  }

  /** At once, where nobody has to be waited for. */
  borrow(borrowing: Borrowing): Borrowed | Promise<Borrowed> {
    return this.houseOf(borrowing.target).borrow(borrowing);
  }

  /** What a session of this key is greeted with; the first of a key opens a server for that. Else as borrow. */
  async greet(
    borrowing: Borrowing,
  ): Promise<
    { kind: "known"; parameters: Template } | Exclude<ServerStart, BackendReady> | undefined
  > {
    const house = this.houseOf(borrowing.target);
    const known = house.templates.get(borrowing.key);
    if (known) return { kind: "known", parameters: known };
    const start = await house.prime(borrowing);
    if (start?.kind !== "ready") return start;
    return { kind: "known", parameters: start.parameters };
  }

  /** Servers of instances that have ended are closed, but for those that sessions have. */
  retire(hasEnded: (target: Target) => boolean): void {
    for (const [name, house] of this.houses) {
      if (!hasEnded(house.target)) continue;
      this.houses.delete(name);
      house.close();
    }
  }

  close(): void {
    for (const house of this.houses.values()) house.close();
    this.houses.clear();
  }

  /** Server connections, by instance. */
  get counts(): { instance: string; open: number; free: number }[] {
    return [...this.houses.values()].map(({ target, pool }) => ({
      instance: target.instanceId,
      open: pool.count,
      free: pool.freeCount,
    }));
  }

  /** For metrics. */
  get sight(): PoolSight {
    return poolSight(
      [...this.houses.values()].map(({ target, pool }) => [target.instanceId, pool]),
    );
  }

  private houseOf(target: Target): House {
    const name = nameOf(target);
    const house = this.houses.get(name) ?? new House(target, this.options);
    this.houses.set(name, house);
    return house;
  }
}

function nameOf({ instanceId, incarnation, role }: Target): string {
  return `${instanceId} ${incarnation} ${role}`;
}

/** The pool of one life of one PostgreSQL. */
class House {
  readonly target: Target;
  readonly pool = new Pool<BackendReady, Holder>(1);
  readonly templates = new Map<string, Template>();
  private readonly priming = new Map<string, Promise<Borrowed>>();
  private readonly leases = new WeakMap<Spot, Lease>();
  private readonly options: PoolsOptions;
  private readonly becomesReady: Promise<void>;
  private isReady = false;
  private isSizeKnown = false;
  private timer: Timer | undefined;
  private isClosed = false;
  /** Aborts when it is closed: whoever is being connected is nobody's. */
  private readonly closing = new AbortController();

  constructor(target: Target, options: PoolsOptions) {
    this.target = target;
    this.options = options;
    this.becomesReady = this.begin();
  }

  /** At once, where nobody has to be waited for. */
  borrow(borrowing: Borrowing): Borrowed | Promise<Borrowed> {
    if (!this.isReady) return this.becomesReady.then(() => this.borrow(borrowing));
    const { clock, settings } = this.options;
    if (this.isClosed || !borrowing.isWanted()) return undefined;
    let known: { readonly start: Borrowed } | undefined;
    let timer: Timer | undefined;
    let tell = (start: Borrowed): void => {
      known = { start };
    };
    const asking: Asking = {
      key: borrowing.key,
      groups: groupsOf(borrowing.parameters),
      borrowing,
      isWanted: () => known === undefined && borrowing.isWanted(),
      accepts: (place) => accepts(place, borrowing),
      resolve: (start) => {
        timer?.cancel();
        tell(start);
        known ??= { start };
      },
    };
    this.run(this.pool.request(asking, clock.nowMs()));
    if (known) return known.start;
    const startMs = clock.nowMs();
    return new Promise((resolve) => {
      tell = (start) => {
        // Undefined: its client has gone, or its instance, and it goes on elsewhere.
        if (start) this.options.counters.poolWaited(clock.nowMs() - startMs);
        resolve(start);
      };
      timer = clock.after(settings.borrowTimeoutMs, () => {
        // Its client may have gone meanwhile.
        if (!asking.isWanted()) asking.resolve(undefined);
        else asking.resolve({ kind: "exhausted", error: this.exhausted(asking) });
      });
    });
  }

  /** What sessions have is theirs until they are told to leave it. */
  close(): void {
    this.isClosed = true;
    this.closing.abort(new Error("its instance has ended, or answers nothing"));
    this.timer?.cancel();
    for (const asking of this.pool.dismiss()) (asking as Asking).resolve(undefined);
    for (const { state, line } of this.pool.all) if (state === "free") line?.connection.destroy();
  }

  /** Opens one of a key that was not here yet; for all who ask for it meanwhile. */
  prime(borrowing: Borrowing): Promise<Borrowed> {
    const under = this.priming.get(borrowing.key);
    if (under) return under;
    const isWanted = (): boolean => !this.isClosed;
    const priming = Promise.resolve(this.borrow({ ...borrowing, isWanted, isLogin: true }))
      .then((start) => {
        if (start?.kind === "ready") returnServer(start);
        return start;
      })
      .finally(() => this.priming.delete(borrowing.key));
    this.priming.set(borrowing.key, priming);
    return priming;
  }

  private exhausted(asking: Asking): BorealisError {
    const { logger, settings } = this.options;
    const { count: open } = this.pool;
    this.options.counters.poolTimedOut();
    const { instanceId: instance } = this.target;
    const limit = this.pool.limitOf(asking);
    const reasons = this.pool.reasons(limit);
    const kept = Object.fromEntries(reasons);
    logger.warn({ event: "pool.exhausted", instance, open, limit, kept });
    return poolExhausted(settings.borrowTimeoutMs, reasons, limit);
  }

  private async begin(): Promise<void> {
    await this.learnMax();
    this.isReady = true;
    if (!this.isClosed) this.timer = this.options.clock.after(expireEveryMs, () => this.expire());
  }

  private async learnMax(): Promise<void> {
    const max = await maxOf(this.target, this.options);
    this.isSizeKnown = max !== undefined;
    this.pool.setMax(max ?? unknownMax);
  }

  private expire(): void {
    const { clock, settings } = this.options;
    const nowMs = clock.nowMs();
    this.run(this.pool.expire(nowMs, settings.idleTimeoutMs));
    this.run(this.pool.serve(nowMs));
    if (!this.isSizeKnown) void this.learnMaxLate();
    if (!this.isClosed) this.timer = clock.after(expireEveryMs, () => this.expire());
  }

  private async learnMaxLate(): Promise<void> {
    await this.learnMax();
    if (this.isSizeKnown && !this.isClosed) this.run(this.pool.serve(this.options.clock.nowMs()));
  }

  private run(actions: readonly Doing[]): void {
    for (const action of actions) this.perform(action);
  }

  private perform(action: Doing): void {
    switch (action.kind) {
      case "give":
        this.give(action.place, action.seeker as Asking, action.place.line);
        return;
      case "take":
        this.give(action.place, action.seeker as Asking, action.holder.yieldServer());
        return;
      case "open":
        void this.open(action.place, action.seeker as Asking);
        return;
      case "close": {
        const { holder, line } = action.place;
        this.leases.delete(action.place);
        (holder?.yieldServer() ?? line)?.connection.destroy();
      }
    }
  }

  private give(place: Spot, asking: Asking, found: BackendReady | undefined): void {
    if (!found || found.connection.closed) {
      this.run(this.pool.gone(place, this.options.clock.nowMs()));
      this.run(this.pool.again(asking, this.options.clock.nowMs()));
      return;
    }
    place.line = found;
    place.state = "held";
    // The session listens before anything else is read.
    asking.resolve({ ...found, lease: this.leaseOf(place), carried: found.carried ?? blank });
  }

  private async open(place: Spot, asking: Asking): Promise<void> {
    const { clock } = this.options;
    const start = await this.connect(asking.borrowing);
    if (start?.kind === "ready") {
      this.options.counters.poolOpened();
      this.remember(asking.key, start.parameters);
      if (this.isClosed) {
        start.connection.destroy();
        asking.resolve(undefined);
        return;
      }
      this.pool.opened(place, start);
      if (asking.isWanted()) this.give(place, asking, start);
      else this.free(place, start);
      return;
    }
    const isFull = start?.kind === "refused" && start.reason === sqlState.tooManyConnections;
    const limit = isFull ? limitOf(start.routine, asking.groups) : undefined;
    const count = limit === undefined ? this.pool.count : this.pool.countOf(limit);
    // A login is told so, where nobody else has one that it could wait for.
    if (isFull && (count > 1 || asking.borrowing.isLogin !== true)) {
      const nowMs = clock.nowMs();
      if (limit === undefined) this.run(this.pool.refusedAsFull(place, asking, nowMs));
      else this.run(this.pool.refusedByLimit(place, asking, limit, nowMs));
      clock.after(fullForMs + 1, () => this.run(this.pool.serve(clock.nowMs())));
      return;
    }
    asking.resolve(start);
    this.run(this.pool.gone(place, clock.nowMs()));
  }

  private remember(key: string, template: Template): void {
    this.templates.delete(key);
    this.templates.set(key, template);
    const [oldest] = this.templates.keys();
    if (this.templates.size > templatesMax && oldest !== undefined) this.templates.delete(oldest);
  }

  private async connect(borrowing: Borrowing): Promise<BackendStart | undefined> {
    const { clock } = this.options;
    try {
      const isOver = (): boolean => this.isClosed || !borrowing.isWanted();
      const { parameters } = borrowing;
      const { signal } = this.closing;
      const asked = { clock, parameters, mayLeave: isOver, clientKey: nobodysKey, signal };
      return await tryBackend(this.target, asked, isOver);
    } catch (error) {
      if (!(error instanceof BorealisError)) throw error;
      return undefined;
    }
  }

  private leaseOf(place: Spot): Lease {
    const { pool, leases } = this;
    const nowMs = (): number => this.options.clock.nowMs();
    // Taken from its session, the place has another one.
    const isMine = (): boolean => leases.get(place) === lease;
    const end = (): void => {
      leases.delete(place);
      place.holder = undefined;
    };
    const lease: Lease = {
      get isWanted() {
        return isMine() && pool.isUseful(place);
      },
      hold: (holder) => {
        if (isMine()) place.holder = holder;
      },
      offer: () => {
        if (isMine()) this.run(pool.offered(place, nowMs()));
      },
      giveBack: (backend) => {
        if (!isMine()) return;
        end();
        if (this.isClosed || backend.connection.closed) {
          backend.connection.destroy();
          this.run(pool.gone(place, nowMs()));
        } else this.free(place, backend);
      },
      gone: () => {
        if (!isMine()) return;
        end();
        this.run(pool.gone(place, nowMs()));
      },
    };
    leases.set(place, lease);
    return lease;
  }

  /** Nobody has it; it is listened to, for what it says by itself. */
  private free(place: Spot, backend: BackendReady): void {
    const parameters = new Map(backend.parameters);
    const { connection } = backend;
    place.line = { ...backend, parameters };
    watchFree(connection, parameters, () =>
      this.run(this.pool.gone(place, this.options.clock.nowMs())),
    );
    this.run(this.pool.released(place, this.options.clock.nowMs()));
  }
}

/** A server's own greeting goes to no client. */
const nobodysKey = Buffer.alloc(4);

function accepts({ holder, line }: Spot, { hasCustom, isNew }: Borrowing): boolean {
  if (isNew === true && (holder !== undefined || line?.carried !== blank)) return false;
  return mayTakeOver(holder ?? line?.carried ?? blank, hasCustom);
}
