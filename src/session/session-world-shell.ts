import { sqlState } from "../base/errors.ts";
import type { Clock, Logger } from "../io/index.ts";
import type { AdminSessions } from "./admin-shell.ts";
import { type BackendStart, startBackend } from "./backend-shell.ts";
import type { ClientLink } from "./client-link.ts";
import type { AwaitDurable } from "./durability-shell.ts";
import type { Fates } from "./fates-shell.ts";
import type { DialTurns } from "./dial-turns-shell.ts";
import { Hold } from "./hold-shell.ts";
import { type HiddenState, unknownHiddenState } from "./hidden-state.ts";
import { isSameLife, type LoadBook, type Seat } from "./load-book.ts";
import type { LoggedIn } from "./login-shell.ts";
import type { TextPlanner } from "./plan.ts";
import type { ReadGates } from "./read-gate-shell.ts";
import { SessionBook } from "./session-book.ts";
import type { SessionCounters } from "./session-counters.ts";
import type { Session } from "./session-shell.ts";
import type { Pools } from "./pool-shell.ts";
import { borrowServer, type Pooling } from "./pooled-server-shell.ts";
import { sleepUntilChange, untilLossIsKnown } from "./until-change-shell.ts";
import type { ExchangeOptions } from "./exchange-options.ts";
import { lifeToAvoid, type SessionWorld, type WantedServer } from "./world-shell.ts";
import { honestyAtStart, parametersForBackend } from "./start-options.ts";
import { type Choice, isGone, type Target, type Topology } from "./topology.ts";
import type { TraitsBook } from "./traits-shell.ts";

/** What all sessions of a process share. */
export interface SharedWorld {
  readonly topology: Topology;
  readonly awaitDurable: AwaitDurable;
  readonly fates: Fates;
  readonly gates: ReadGates | undefined;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly admin: AdminSessions;
  readonly traits: TraitsBook;
  readonly counters: SessionCounters;
  readonly load: LoadBook;
  readonly pools: Pools;
  /** Of sessions that leave a reader which hangs. */
  readonly turns: DialTurns;
  readonly holdTimeoutMs: number;
  readonly journalBytesMax: number;
}

/** One client that is logged in at one endpoint. */
export interface Arrival {
  readonly client: Pick<ClientLink, "closed">;
  readonly login: LoggedIn;
  readonly clientKey: Buffer;
  readonly isWanted: () => boolean;
  /** What it counts for among the sessions of its instance. */
  readonly seat: Seat;
  /** Where its endpoint sends a session at this moment. */
  readonly findTarget: (choice: Choice) => Target | undefined;
}

/** An instance that ends its sessions and then ends or changes itself has shown so by then. */
const onPurposeMs = 1_000;

/** Starts a server for it, waiting for an instance; no longer than `holdTimeoutMs`. */
export async function startServer(
  shared: SharedWorld,
  arrival: Arrival,
  wanted: Pick<WantedServer, "holdTimeoutMs" | "mayReturn"> & Partial<Pick<WantedServer, "lost">>,
): Promise<BackendStart> {
  const { holdTimeoutMs, lost, mayReturn = false } = wanted;
  const { clock, topology, load, turns } = shared;
  const { client, clientKey, login, isWanted, seat } = arrival;
  const avoided = lifeToAvoid({ ...wanted, lost });
  const find = (): Target | undefined => arrival.findTarget(load.choiceAt(clock.nowMs(), avoided));
  let isTaken = false;
  let tried: Target | undefined;
  // A session that has lost a server counts its waiting itself.
  const hold = lost ? undefined : new Hold(shared);
  try {
    const start = await startBackend({
      clock,
      client,
      clientKey,
      // All that were on one instance come at once, and another's may not have left yet.
      ...(lost && { passing: new Set([sqlState.tooManyConnections]) }),
      parameters: parametersForBackend(login.request),
      holdTimeoutMs,
      isWanted,
      isSilent: (target) => isGone(topology, target),
      onChange: (fn) => topology.onChange(fn),
      ...(mayReturn && { inTurn: (work) => turns.run(work) }),
      findTarget: () => {
        // It refused the last attempt, or has ended meanwhile.
        if (tried) load.suspect(tried, clock.nowMs());
        seat.leave();
        tried = undefined;
        const target = find();
        if (!target || (avoided && isSameLife(target, avoided))) return undefined;
        seat.take(target.instanceId);
        tried = target;
        return target;
      },
      untilChange: () => {
        hold?.begin();
        return sleepUntilChange(clock, topology);
      },
      mayLeave: (target) => {
        load.suspect(target, clock.nowMs());
        const other = find();
        return other !== undefined && !isSameLife(other, target);
      },
    });
    if (start.kind === "ready") load.trust(start.target);
    // Who is not wanted any more has left its seat before.
    isTaken = start.kind === "ready" && isWanted();
    return start;
  } finally {
    hold?.end();
    if (!isTaken) seat.leave();
  }
}

/** The world of one session; `sessionOf` gives that, once it is there. */
export function worldOf(
  shared: SharedWorld,
  arrival: Arrival,
  planner: TextPlanner,
  {
    sessionOf,
    onEnd,
    pooling,
  }: { sessionOf: () => Session; onEnd: () => void; pooling?: Pooling | undefined },
): SessionWorld {
  const { topology, traits } = shared;
  const { wishes, settings } = arrival.login;
  const { database, user } = wishes;
  const hidden = (): HiddenState => planner.traits.hidden ?? unknownHiddenState;
  const memory = new SessionBook({ user, hidden, ...(pooling && { base: pooling.base }) });
  const exchanges: Partial<Record<Target["role"], ExchangeOptions>> = {};
  const exchangeAs = (role: Target["role"]): ExchangeOptions => ({
    isHonest: role === "writer",
    planner,
    memory,
    journalBytesMax: shared.journalBytesMax,
    ...honestyAtStart(wishes, settings),
  });
  return {
    ...shared,
    gateOf: (target) => shared.gates?.find(target),
    isPooled: pooling !== undefined,
    idleTimeoutMs: pooling?.idleTimeoutMs ?? 0,
    exchangeOf: ({ role }) => (exchanges[role] ??= exchangeAs(role)),
    connect: (asked) => {
      const isWanted = (): boolean => arrival.isWanted() && asked.isWanted();
      const findTarget = asked.needsWriter === true ? () => topology.writer() : arrival.findTarget;
      const here = { ...arrival, isWanted, findTarget };
      if (!pooling) return startServer(shared, here, asked);
      const wanted = { ...asked, isWanted };
      return borrowServer(shared, here, pooling, wanted, (name) => memory.hasCustom(name));
    },
    isOver: (target) => isOver(shared, target),
    isLeaving: (target) => topology.isLeaving(target),
    isSilent: (target) => topology.isSilent(target),
    hasOther: (target) => hasOther(shared, arrival, target),
    distrust: (target) => shared.load.suspect(target, shared.clock.nowMs()),
    isServing: (target) => isServing(shared, target),
    wasEndedOnPurpose: (target) => wasEndedOnPurpose(shared, target),
    untilLossIsKnown: (target) => untilLossIsKnown(shared, target),
    onTraitsChanging: (change) => traits.changing(database, sessionOf(), change),
    onTraitsSettled: () => {
      const session = sessionOf();
      traits.settled(session.target, database, session);
    },
    onEnd: () => {
      arrival.seat.leave();
      onEnd();
      traits.leave(database, sessionOf());
    },
  };
}

function isOver({ topology }: SharedWorld, target: Target): boolean {
  if (target.role === "reader") return true;
  // Its epoch is open: nothing that is not in the log by then gets there.
  const writer = topology.writer();
  return writer !== undefined && !isSameLife(writer, target);
}

function hasOther(
  { clock, load, topology }: SharedWorld,
  arrival: Arrival,
  target: Target,
): boolean {
  const other = arrival.findTarget(load.choiceAt(clock.nowMs(), target));
  return other !== undefined && !isSameLife(other, target) && !topology.isSilent(other);
}

async function isServing({ topology, admin }: SharedWorld, target: Target): Promise<boolean> {
  const now = topology.instance(target.instanceId);
  if (!now || !isSameLife(now, target) || topology.hasEnded(target)) return false;
  return admin.isAlive(target);
}

async function wasEndedOnPurpose(shared: SharedWorld, target: Target): Promise<boolean> {
  const { clock, topology } = shared;
  const untilMs = clock.nowMs() + onPurposeMs;
  for (;;) {
    if (!(await isServing(shared, target))) return false;
    if (clock.nowMs() > untilMs) return true;
    await sleepUntilChange(clock, topology);
  }
}
