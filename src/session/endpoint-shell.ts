import { BorealisError, sqlState } from "../base/errors.ts";
import {
  type Address,
  type Connection,
  listen,
  type Listener,
  openTlsServer,
  type TlsServer,
} from "../io/index.ts";
import { loadParser } from "../route/index.ts";
import { encodeError } from "../wire/index.ts";
import { AdminSessions, noInstance } from "./admin-shell.ts";
import { adminDatabaseName } from "./admin-visit.ts";
import { AdminVisits } from "./admin-visits-shell.ts";
import type { BackendReady } from "./backend-shell.ts";
import { cancelSession } from "./cancel-shell.ts";
import {
  defaultLimits,
  type Endpoint,
  type EndpointLimits,
  type EndpointsOptions,
  poolDefaults,
} from "./endpoint-options.ts";
import { AdminFates } from "./fates-shell.ts";
import type { Outcome } from "./action.ts";
import { endpointGone, rewound, shutdown } from "./farewells.ts";
import { LoadBook } from "./load-book.ts";
import { type LoggedIn, LoginConversation, type LoginDeps } from "./login-shell.ts";
import { SessionCounters, type SessionFigures } from "./session-counters.ts";
import type { Session } from "./session-shell.ts";
import { openAtWriter, openSession } from "./open-session-shell.ts";
import { Forwarding } from "./forwarding-shell.ts";
import { Pools } from "./pool-shell.ts";
import { greetPooled, type PoolMode, poolingOf } from "./pooled-server-shell.ts";
import { type Registered, SessionRegistry, type SessionRow } from "./session-registry.ts";
import type { ServerStart } from "./world-shell.ts";
import { type Arrival, type SharedWorld, startServer } from "./session-world-shell.ts";
import type { Choice, Target } from "./topology.ts";
import { TraitsBook } from "./traits-shell.ts";

const tooManyClients = new BorealisError(
  sqlState.tooManyConnections,
  "sorry, too many clients already",
);

/** Opens every endpoint. Raises the system's error (EADDRINUSE, EACCES) if one cannot be opened; then none is. */
export async function startEndpoints(options: EndpointsOptions): Promise<EndpointServer> {
  await loadParser();
  const server = new EndpointServer(options);
  try {
    for (const endpoint of options.endpoints) await server.open(endpoint);
  } catch (error) {
    await server.close();
    throw error;
  }
  return server;
}

/** The endpoints of one process: who connects, where it goes, and the sessions that live. */
export class EndpointServer {
  private readonly options: EndpointsOptions;
  private readonly limits: EndpointLimits;
  private readonly tls: TlsServer | undefined;
  private readonly admin: AdminSessions;
  private readonly traits: TraitsBook;
  private readonly counters = new SessionCounters();
  private readonly shared: SharedWorld;
  private readonly poolMode: PoolMode;
  private readonly mockSecret: Buffer;
  private readonly listeners = new Map<string, { endpoint: Endpoint; listener: Listener }>();
  private readonly sessions = new SessionRegistry();
  private readonly pools: Pools;
  private readonly visits: AdminVisits;
  private readonly unauthenticated = new Map<Connection, Endpoint>();
  private readonly stopWatching: () => void;
  private isClosing = false;
  private wasRewinding = false;

  constructor(options: EndpointsOptions) {
    this.options = options;
    this.limits = { ...defaultLimits, ...options.limits };
    this.tls = options.tls && openTlsServer(options.tls);
    this.admin = new AdminSessions(options);
    this.traits = new TraitsBook(this.admin, options.clock, options.logger);
    const { admin, traits, counters } = this;
    const fates = new AdminFates(options, admin);
    const load = new LoadBook();
    const { maxConnections, ...settings } = { ...poolDefaults, ...options.pooling };
    this.poolMode = settings;
    const isGiven = maxConnections !== undefined;
    this.pools = new Pools({
      ...options,
      counters,
      settings: isGiven ? { ...settings, maxConnectionsPercent: 100 } : settings,
      connectionsOf: async (target) => maxConnections ?? admin.connectionsOf(target),
    });
    const { pools } = this;
    this.shared = { ...options, fates, ...this.limits, admin, traits, counters, load, pools };
    this.mockSecret = options.entropy.bytes(32);
    this.visits = new AdminVisits(options, (client) => this.linger(client));
    this.stopWatching = options.topology.onChange(() => this.onTopologyChange());
  }

  get sessionCount(): number {
    return this.sessions.count;
  }

  /** Every session, for an operator. */
  get sessionRows(): SessionRow[] {
    return this.sessions.rows();
  }

  /** Server connections of pools, by instance. */
  get poolCounts(): Pools["counts"] {
    return this.pools.counts;
  }

  /** How losses of servers ended for sessions. */
  get outcomeCounts(): Readonly<Record<Outcome, number>> {
    return this.counters.outcomes.all;
  }

  /** What was counted since the process began, and how many there are of what now. */
  get figures(): SessionFigures {
    const sessions = this.sessions.tally();
    const { size: unauthenticated } = this.unauthenticated;
    return this.counters.figures({ sessions, unauthenticated, ...this.pools.sight });
  }

  get unauthenticatedCount(): number {
    return this.unauthenticated.size;
  }

  /** Where an endpoint listens, with the port that the system chose for port 0. */
  addressOf(id: string): Address | undefined {
    return this.listeners.get(id)?.listener.address;
  }

  async open(endpoint: Endpoint): Promise<void> {
    const listener = await listen(endpoint.address, (connection) =>
      this.onConnection(endpoint, connection),
    );
    this.listeners.set(endpoint.id, { endpoint, listener });
  }

  /** Stops listening at one endpoint, and ends the sessions that came in there: 57P01, or 08007 where a commit is under way. */
  async shut(id: string): Promise<void> {
    const { endpoint, listener } = this.listeners.get(id) ?? {};
    if (!endpoint || !listener) return;
    this.listeners.delete(id);
    this.counters.forgetEndpoint(id);
    for (const [connection, at] of this.unauthenticated) if (at === endpoint) connection.destroy();
    for (const { session, endpoint: at } of this.sessions.all)
      if (at === endpoint) session.terminate(endpointGone(endpoint));
    this.visits.terminate(endpointGone(endpoint), endpoint);
    await listener.close();
  }

  /** Whether it is listened at still, and has not been opened anew since. */
  private isOpen(endpoint: Endpoint): boolean {
    return !this.isClosing && this.listeners.get(endpoint.id)?.endpoint === endpoint;
  }

  /** Stops listening, and ends every session: 57P01, or 08007 where a commit is under way. */
  async close(): Promise<void> {
    this.isClosing = true;
    this.stopWatching();
    await Promise.all([...this.listeners.values()].map(({ listener }) => listener.close()));
    for (const connection of this.unauthenticated.keys()) connection.destroy();
    for (const { session } of this.sessions.all) session.terminate(shutdown);
    this.visits.terminate(shutdown);
    this.pools.close();
    await this.admin.close();
  }

  private onConnection(endpoint: Endpoint, connection: Connection): void {
    this.counters.connected(endpoint.id);
    if (this.unauthenticated.size >= this.limits.unauthenticatedMax) {
      connection.end(this.farewell(tooManyClients));
      connection.onData(() => undefined);
      this.options.clock.after(1_000, () => connection.destroy());
      return;
    }
    this.unauthenticated.set(connection, endpoint);
    this.serve(endpoint, connection)
      .catch((error: unknown) => {
        this.options.logger.error({ event: "session.broken", endpoint: endpoint.id, err: error });
        connection.end(encodeError(error, "FATAL"));
      })
      .finally(() => this.unauthenticated.delete(connection));
  }

  private async serve(endpoint: Endpoint, connection: Connection): Promise<void> {
    const deps: LoginDeps = {
      ...this.options,
      ...this.limits,
      admin: this.admin,
      tls: this.tls,
      requiresTls: this.options.tls?.mode === "require",
      mockSecret: this.mockSecret,
    };
    const opening = await new LoginConversation(connection, deps).run();
    if (opening.kind === "cancel") {
      await this.cancel(opening.pid, opening.key);
      connection.end();
    } else if (opening.kind === "refused") {
      const { reason, user } = opening;
      this.counters.loginRefused();
      this.options.logger.info({
        event: "login.refused",
        endpoint: endpoint.id,
        remote: connection.remote,
        user,
        reason,
      });
      this.linger(connection);
    } else if (opening.wishes.database === adminDatabaseName) {
      this.unauthenticated.delete(connection);
      if (this.isOpen(endpoint)) return this.visits.begin(endpoint, connection, opening);
      connection.end(this.farewell(this.whyNobody(endpoint)));
      this.linger(connection);
    } else {
      this.unauthenticated.delete(connection);
      await this.connectBackend(endpoint, connection, opening);
    }
  }

  /** A client that was told goodbye has a moment to read it; what it sends is dropped. */
  private linger(connection: Connection): void {
    connection.onData(() => undefined);
    connection.onEnd(() => connection.destroy());
    this.options.clock.after(2_000, () => connection.destroy());
  }

  private async connectBackend(
    endpoint: Endpoint,
    client: Connection,
    login: LoggedIn,
  ): Promise<void> {
    // Bytes of an eager client wait in the kernel.
    client.pause();
    const arrival: Arrival = {
      client,
      login,
      clientKey: this.options.entropy.bytes(login.minor >= 2 ? 32 : 4),
      isWanted: () => this.isOpen(endpoint),
      seat: this.shared.load.newSeat(),
      findTarget: (choice) => this.findTarget(endpoint, choice),
    };
    const { shared, limits } = this;
    const { holdTimeoutMs } = limits;
    const pooling = poolingOf(this.poolMode, endpoint, login);
    const start = pooling
      ? await greetPooled(shared, arrival, pooling, holdTimeoutMs)
      : await startServer(shared, arrival, { holdTimeoutMs });
    if (start.kind !== "ready") {
      client.end(this.refusalOf(start, endpoint));
      this.linger(client);
      return;
    }
    const mayRead = endpoint.type !== "writer";
    const forwarding = mayRead
      ? this.forwardingFor(client, login, arrival.isWanted, endpoint)
      : undefined;
    const session = await openSession(shared, arrival, {
      client: forwarding?.link ?? client,
      backend: start,
      pooling,
      onEnd: (ended) => this.sessions.forget(ended),
      ...(forwarding && { adapt: (world) => forwarding.adapt(world) }),
    });
    if (!session) return;
    this.remember(session, { endpoint, login, client, forwarding });
    if (forwarding) forwarding.start(session, login.rest);
    else session.start(login.rest);
  }

  private forwardingFor(
    client: Connection,
    login: LoggedIn,
    isOpen: () => boolean,
    endpoint: Endpoint,
  ): Forwarding {
    const { shared } = this;
    return new Forwarding({
      ...shared,
      client,
      acknowledgedOn: (target) => shared.admin.acknowledgedLsn(target),
      replayedOn: (target) => shared.admin.replayedLsn(target),
      openWriter: async (link, { withinMs, isWanted }) => {
        const session = await openAtWriter(shared, login, {
          client: link,
          clientKey: this.options.entropy.bytes(32),
          withinMs,
          isWanted: () => isWanted() && isOpen(),
          onEnd: (ended) => this.sessions.forget(ended),
        });
        this.remember(session, { endpoint, login, client, forwarding: undefined });
        return session;
      },
    });
  }

  private remember(
    session: Session,
    of: Pick<Registered, "endpoint" | "forwarding"> & { login: LoggedIn; client: Connection },
  ): void {
    const { endpoint, forwarding, login, client } = of;
    const { user, database } = login.wishes;
    const clientAddress = client.remote;
    const sinceMs = this.options.clock.wallMs();
    const own = { session, endpoint, forwarding };
    this.sessions.remember({ ...own, user, database, clientAddress, sinceMs });
  }

  private refusalOf(start: Exclude<ServerStart, BackendReady>, endpoint: Endpoint): Buffer {
    if (start.kind === "refused") return start.bytes;
    return this.farewell(start.kind === "exhausted" ? start.error : this.whyNobody(endpoint));
  }

  /** What a client that gets no session is told. */
  private farewell(error: BorealisError): Buffer {
    this.counters.told(error.code);
    return encodeError(error, "FATAL");
  }

  private whyNobody(endpoint: Endpoint): BorealisError {
    if (this.isClosing) return shutdown;
    if (!this.isOpen(endpoint)) return endpointGone(endpoint);
    const { id, type } = endpoint;
    const why = type === "custom" ? this.options.topology.whyNobody(id) : undefined;
    return noInstance(why && `Endpoint ${id}: ${why}.`);
  }

  private findTarget(endpoint: Endpoint, choice: Choice): Target | undefined {
    const { topology } = this.options;
    if (!this.isOpen(endpoint)) return undefined;
    switch (endpoint.type) {
      case "writer":
        return topology.writer();
      case "reader":
        return topology.reader(choice);
      case "custom":
        return topology.custom(endpoint.id, choice);
      case "instance":
        return endpoint.instanceId === undefined
          ? undefined
          : topology.instance(endpoint.instanceId);
    }
  }

  /** A session whose PostgreSQL has stopped, or is no writer any more, goes on with another. */
  private onTopologyChange(): void {
    const isRewinding = this.options.topology.isRewinding();
    const begins = isRewinding && !this.wasRewinding;
    this.wasRewinding = isRewinding;
    for (const { session } of this.sessions.all) {
      if (begins) session.terminate(rewound);
      else if (this.options.topology.hasEnded(session.target)) session.retire();
    }
    this.pools.retire((target) => begins || this.options.topology.hasEnded(target));
  }

  private async cancel(pid: number, key: Buffer): Promise<void> {
    const found = this.sessions.find(pid, key);
    if (!found || found.forwarding?.cancelWait() === true) return;
    await cancelSession(found.forwarding?.active ?? found.session, this.shared);
  }
}
