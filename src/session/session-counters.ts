import { Histogram, type HistogramFigures } from "../base/histogram.ts";
import type { Outcome } from "./action.ts";
import { keptKind, type KeptKind } from "./kept-kind.ts";
import { Outcomes } from "./outcomes.ts";
import type { SessionRow } from "./session-registry.ts";

export type SessionState = SessionRow["state"];

/** What the endpoints of one process have counted since it began, and how many there are of what now. No text of users. */
export interface SessionFigures {
  readonly sessions: readonly {
    readonly endpoint: string;
    readonly state: SessionState;
    readonly count: number;
  }[];
  /** Connections that are not logged in yet. */
  readonly unauthenticated: number;
  /** Connections that came in, by endpoint. */
  readonly connections: Readonly<Record<string, number>>;
  readonly loginsRefused: number;
  /** How losses of servers ended. */
  readonly outcomes: Readonly<Record<Outcome, number>>;
  /** Errors of the endpoints' own that clients were told, by SQLSTATE. */
  readonly errors: Readonly<Record<string, number>>;
  /** Sessions and log-ins that wait for an instance now. */
  readonly held: number;
  /** How long those waited that wait no more. */
  readonly holds: HistogramFigures;
  readonly pool: PoolFigures;
}

export interface PoolFigures {
  /** Server connections, and who waits for one, by instance. */
  readonly instances: readonly {
    readonly instance: string;
    readonly open: number;
    readonly free: number;
    readonly waiting: number;
  }[];
  /** How long those waited for a server connection that could not have one at once. */
  readonly waits: HistogramFigures;
  /** Who waited for pool.borrowTimeoutMs in vain. */
  readonly timeouts: number;
  readonly opened: number;
  /** Server connections that cannot be given on at this moment, by what keeps them. */
  readonly kept: Readonly<Partial<Record<KeptKind, number>>>;
}

/** Ours are far fewer; should somebody else's come through, they do not fill the memory. */
const codesMax = 64;

/**
 * Counts what happens to the sessions of a process. One increment at each event, and none for ordinary messages: figures are put
 * together when somebody asks for them.
 */
export class SessionCounters {
  readonly outcomes = new Outcomes();
  private readonly errors = new Map<string, number>();
  private readonly connections = new Map<string, number>();
  private readonly holds = new Histogram();
  private readonly waits = new Histogram();
  private heldNow = 0;
  private loginsRefused = 0;
  private timeouts = 0;
  private opened = 0;

  /** An error of ours goes to a client; its SQLSTATE. */
  told(code: string): void {
    const isRoom = this.errors.has(code) || this.errors.size < codesMax;
    add(this.errors, isRoom ? code : "other");
  }

  /** Somebody has connected to this endpoint. */
  connected(endpoint: string): void {
    add(this.connections, endpoint);
  }

  /** The endpoint is no more; one of the same name begins anew. */
  forgetEndpoint(endpoint: string): void {
    this.connections.delete(endpoint);
  }

  loginRefused(): void {
    this.loginsRefused++;
  }

  /** Somebody waits for an instance from now on. */
  holdBegun(): void {
    this.heldNow++;
  }

  holdEnded(durationMs: number): void {
    this.heldNow--;
    this.holds.observe(durationMs);
  }

  /** Somebody has, or has given up, a server connection that was waited for. */
  poolWaited(durationMs: number): void {
    this.waits.observe(durationMs);
  }

  poolTimedOut(): void {
    this.timeouts++;
  }

  poolOpened(): void {
    this.opened++;
  }

  /** With what is counted by looking. `reasons`: words for why server connections are kept, and how many are. */
  figures(now: {
    readonly sessions: SessionFigures["sessions"];
    readonly unauthenticated: number;
    readonly instances: PoolFigures["instances"];
    readonly reasons: ReadonlyMap<string, number>;
  }): SessionFigures {
    const { sessions, unauthenticated, instances, reasons } = now;
    const kept: Partial<Record<KeptKind, number>> = {};
    for (const [why, count] of reasons) {
      const kind = keptKind(why);
      kept[kind] = (kept[kind] ?? 0) + count;
    }
    const { timeouts, opened, loginsRefused, heldNow: held } = this;
    return {
      sessions,
      unauthenticated,
      connections: Object.fromEntries(this.connections),
      loginsRefused,
      outcomes: this.outcomes.all,
      errors: Object.fromEntries(this.errors),
      held,
      holds: this.holds.figures,
      pool: { instances, waits: this.waits.figures, timeouts, opened, kept },
    };
  }
}

function add(counts: Map<string, number>, key: string): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
