import { BorealisError, sqlState } from "../base/errors.ts";
import { parseReport } from "../wire/index.ts";
import { noInstance } from "./admin-shell.ts";
import type { BackendReady } from "./backend-shell.ts";
import type { ClientLink } from "./client-link.ts";
import type { LoggedIn } from "./login-shell.ts";
import type { Pooling } from "./pooled-server-shell.ts";
import { Session } from "./session-shell.ts";
import { type Arrival, type SharedWorld, startServer, worldOf } from "./session-world-shell.ts";
import type { SessionWorld } from "./world-shell.ts";

export interface SessionOpening {
  readonly client: ClientLink;
  readonly backend: BackendReady;
  /** It begins without a connection, and borrows one when it needs it; `backend` has none. */
  readonly pooling?: Pooling | undefined;
  /** Called once, when both connections are done with. */
  readonly onEnd: (session: Session) => void;
  /** What is different in this session's world. */
  readonly adapt?: (world: SessionWorld) => SessionWorld;
}

/** A session over a server that has just been started for it; undefined: one of the two is gone meanwhile. */
export async function openSession(
  shared: SharedWorld,
  arrival: Arrival,
  { client, backend, pooling, onEnd, adapt }: SessionOpening,
): Promise<Session | undefined> {
  const { connection, target } = backend;
  const { database } = arrival.login.wishes;
  const planner = await shared.traits.enter(target, database);
  const isServerGone = pooling === undefined && connection.closed;
  if (client.closed || isServerGone || !arrival.isWanted()) {
    connection.destroy();
    client.destroy();
    arrival.seat.leave();
    shared.traits.leave(database, connection);
    return undefined;
  }
  const world = worldOf(shared, arrival, planner, {
    sessionOf: () => session,
    onEnd: () => onEnd(session),
    pooling,
  });
  const { clientKey } = arrival;
  const session: Session = new Session({
    client,
    backend,
    clientKey,
    isParked: pooling !== undefined,
    world: adapt ? adapt(world) : world,
  });
  return session;
}

/** A second session of a login, at the writer, for somebody in this process. Raises BorealisError if there is none. */
export async function openAtWriter(
  shared: SharedWorld,
  login: LoggedIn,
  options: {
    readonly client: ClientLink;
    /** That no client has: nobody cancels it by its own key. */
    readonly clientKey: Buffer;
    /** How long a writer is waited for. */
    readonly withinMs: number;
    readonly isWanted: () => boolean;
    readonly onEnd: (session: Session) => void;
  },
): Promise<Session> {
  const { client, clientKey, withinMs, isWanted, onEnd } = options;
  const seat = shared.load.newSeat();
  const findTarget = () => shared.topology.writer();
  const arrival: Arrival = { client, login, clientKey, isWanted, seat, findTarget };
  const start = await startServer(shared, arrival, { holdTimeoutMs: withinMs });
  if (start.kind === "nobody") throw noInstance();
  if (start.kind === "refused") {
    const message = parseReport(start.bytes.subarray(5)).get("M") ?? "it was refused";
    throw new BorealisError(start.reason, `cannot connect to the writer: ${message}`);
  }
  // No client of it comes back: what its loss means to the client's own session is decided there, at once.
  const adapt = (world: SessionWorld): SessionWorld => ({
    ...world,
    untilLossIsKnown: () => Promise.resolve(),
  });
  const session = await openSession(shared, arrival, { client, backend: start, onEnd, adapt });
  if (!session) throw new BorealisError(sqlState.connectionFailure, "the writer is gone");
  return session;
}
