import { timingSafeEqual } from "node:crypto";
import { transactionState } from "../wire/index.ts";
import type { Outcome } from "./action.ts";
import type { Endpoint } from "./endpoint-options.ts";
import type { Forwarding } from "./forwarding-shell.ts";
import type { Session } from "./session-shell.ts";

/** See SessionRow. */
export const sessionStates = ["idle", "active", "in transaction", "parked", "waiting"] as const;

/** What one session is told about in SHOW SESSIONS. */
export interface SessionRow {
  /** What the client knows as its server's. */
  readonly pid: number;
  readonly user: string;
  readonly database: string;
  readonly applicationName: string;
  readonly clientAddress: string;
  readonly endpoint: string;
  /** Where it is, or was last. */
  readonly instance: string;
  /**
   * - idle, active, in transaction: with a server
   * - parked: without one, which it does not need
   * - waiting: for one
   */
  readonly state: (typeof sessionStates)[number];
  /** When it began, in milliseconds since 1970. */
  readonly sinceMs: number;
  /** The pid of its server's process; null: it has none. */
  readonly backendPid: number | null;
  readonly isPooled: boolean;
  /** How losses of its servers have ended, and how often. */
  readonly outcomes: Readonly<Partial<Record<Outcome, number>>>;
  /** Of a pooled one: why nobody else can have its server at this moment; null: anybody can. */
  readonly keptBecause: string | null;
}

/** Who a session is of. */
export interface Registered {
  readonly session: Session;
  readonly endpoint: Endpoint;
  readonly user: string;
  readonly database: string;
  readonly clientAddress: string;
  /** As in SessionRow. */
  readonly sinceMs: number;
  /** Stands between its client and it. */
  readonly forwarding: Forwarding | undefined;
}

/** The sessions of one process, by the pids that their clients know: two instances may give the same one. */
export class SessionRegistry {
  private readonly byPid = new Map<number, Set<Registered>>();
  private readonly bySession = new Map<Session, Registered>();

  get count(): number {
    return this.bySession.size;
  }

  remember(registered: Registered): void {
    const { session } = registered;
    const same = this.byPid.get(session.pid) ?? new Set();
    this.byPid.set(session.pid, same.add(registered));
    this.bySession.set(session, registered);
  }

  forget(session: Session): void {
    const registered = this.bySession.get(session);
    if (!registered) return;
    this.bySession.delete(session);
    const same = this.byPid.get(session.pid);
    same?.delete(registered);
    if (same?.size === 0) this.byPid.delete(session.pid);
  }

  get all(): Iterable<Registered> {
    return this.bySession.values();
  }

  /** Whose cancel key this is. */
  find(pid: number, key: Buffer): Registered | undefined {
    for (const registered of this.byPid.get(pid) ?? []) {
      const { clientKey } = registered.session;
      if (clientKey.length === key.length && timingSafeEqual(clientKey, key)) return registered;
    }
    return undefined;
  }

  /** How many there are, by endpoint and state. */
  tally(): { endpoint: string; state: SessionRow["state"]; count: number }[] {
    const tally = new Map<
      string,
      { endpoint: string; state: SessionRow["state"]; count: number }
    >();
    for (const { session, endpoint } of this.all) {
      const state = stateOf(session);
      const key = `${endpoint.id} ${state}`;
      const entry = tally.get(key);
      if (entry) entry.count++;
      else tally.set(key, { endpoint: endpoint.id, state, count: 1 });
    }
    return [...tally.values()];
  }

  rows(): SessionRow[] {
    return [...this.all].map((registered) => {
      const { session, endpoint, user, database, clientAddress, sinceMs } = registered;
      return {
        pid: session.pid,
        user,
        database,
        applicationName: session.conversation.exchange.toldParameters.get("application_name") ?? "",
        clientAddress,
        endpoint: endpoint.id,
        instance: session.target.instanceId,
        sinceMs,
        outcomes: Object.fromEntries(session.outcomes ?? []),
        ...conditionOf(session),
      };
    });
  }
}

function stateOf({ survivor }: Session): SessionRow["state"] {
  const { isLive, isParked, conversation } = survivor;
  if (isParked) return "parked";
  if (!isLive) return "waiting";
  if (!conversation.isIdle) return "active";
  return conversation.exchange.state === transactionState.idle ? "idle" : "in transaction";
}

function conditionOf(
  session: Session,
): Pick<SessionRow, "state" | "backendPid" | "isPooled" | "keptBecause"> {
  const { survivor, tenancy, world, backendKey } = session;
  const { isPooled } = world;
  return {
    state: stateOf(session),
    backendPid: survivor.isLive ? backendKey.pid : null,
    isPooled,
    keptBecause: isPooled ? (tenancy.whyKept() ?? null) : null,
  };
}
