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
  /** Connections of which nothing was read, by reason. */
  readonly connectionsRefused: Readonly<Partial<Record<RefusedReason, number>>>;
  /** Wrong passwords that were told late: somebody may be guessing. */
  readonly loginsSlowed: number;
  /** Records of the audit that could not be written. */
  readonly auditLost: number;
  /** How losses of servers ended. */
  readonly outcomes: Readonly<Record<Outcome, number>>;
  /** Errors of the endpoints' own that clients were told, by SQLSTATE. */
  readonly errors: Readonly<Record<string, number>>;
  /** Sessions and log-ins that wait for an instance now. */
  readonly held: number;
  /** How long those waited that wait no more. */
  readonly holds: HistogramFigures;
  readonly commits: CommitFigures;
  readonly pool: PoolFigures;
}

export const refusedReasons = ["notAllowed", "tooOften", "tooMany", "madeRoom"] as const;
/**
 * - notAllowed: its endpoint takes none from there
 * - tooOften: more came from its address than may in so short a time
 * - tooMany: too many are not logged in, of its address or of all
 * - madeRoom: it was not logged in, and had said less than others, or was of the network with the most
 */
export type RefusedReason = (typeof refusedReasons)[number];

/** Of commits that had a transaction's id, and that nothing else of their sessions was under way beside. */
export interface CommitFigures {
  /** From the moment when it was sent to PostgreSQL until its answer had come. */
  readonly server: HistogramFigures;
  /** From there until it was told. */
  readonly gate: HistogramFigures;
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
  /** All from the beginning: who asks how fast a counter grows does not see the step with which it appears. */
  private readonly refused = new Map<RefusedReason, number>(
    refusedReasons.map((reason) => [reason, 0]),
  );
  private readonly holds = new Histogram();
  private readonly waits = new Histogram();
  private readonly commitServer = new Histogram();
  private readonly commitGate = new Histogram();
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

  connectionRefused(reason: RefusedReason): void {
    add(this.refused, reason);
  }

  /** Somebody waits for an instance from now on. */
  holdBegun(): void {
    this.heldNow++;
  }

  holdEnded(durationMs: number): void {
    this.heldNow--;
    this.holds.observe(durationMs);
  }

  /** A commit is told now. */
  committed(at: {
    readonly sentMs: number;
    readonly heardMs: number;
    readonly nowMs: number;
  }): void {
    this.commitServer.observe(at.heardMs - at.sentMs);
    this.commitGate.observe(at.nowMs - at.heardMs);
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
    readonly loginsSlowed: number;
    readonly auditLost: number;
    readonly instances: PoolFigures["instances"];
    readonly reasons: ReadonlyMap<string, number>;
  }): SessionFigures {
    const { sessions, unauthenticated, loginsSlowed, auditLost, instances, reasons } = now;
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
      connectionsRefused: Object.fromEntries(this.refused),
      loginsSlowed,
      auditLost,
      outcomes: this.outcomes.all,
      errors: Object.fromEntries(this.errors),
      held,
      holds: this.holds.figures,
      commits: { server: this.commitServer.figures, gate: this.commitGate.figures },
      pool: { instances, waits: this.waits.figures, timeouts, opened, kept },
    };
  }
}

function add<Key extends string>(counts: Map<Key, number>, key: Key): void {
  counts.set(key, (counts.get(key) ?? 0) + 1);
}
