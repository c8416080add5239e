import type { BorealisError } from "../base/errors.ts";
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
import type { ClientLink } from "./client-link.ts";
import { DialTurns } from "./dial-turns-shell.ts";
import { Doorman } from "./doorman-shell.ts";
import {
  defaultLimits,
  type Endpoint,
  endpointKey,
  type EndpointLimits,
  type EndpointsOptions,
  poolDefaults,
} from "./endpoint-options.ts";
import { AdminFates } from "./fates-shell.ts";
import type { Outcome } from "./action.ts";
import { endpointGone, rewound, shutdown } from "./farewells.ts";
import { LoadBook } from "./load-book.ts";
import { PasswordTurns } from "./password-turns-shell.ts";
import { type SessionAudit, SessionAudits } from "./session-audit-shell.ts";
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
import { type Choice, isGone, isOut, type Target } from "./topology.ts";
import { TraitsBook } from "./traits-shell.ts";

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
  private readonly doorman: Doorman;
  private readonly turns: PasswordTurns;
  private readonly audits: SessionAudits;
  private readonly stopWatching: () => void;
  private isClosing = false;
  private wasRewinding = false;

  constructor(options: EndpointsOptions) {
    this.options = options;
    this.limits = { ...defaultLimits, ...options.limits };
    this.tls = options.tls && openTlsServer(options.tls);
    this.admin = new AdminSessions(options);
    this.traits = new TraitsBook(this.admin, options.clock, options.logger);
    const { admin, traits, counters, limits } = this;
    this.doorman = new Doorman({ ...options, limits, counters });
    const { failuresMax, failureDelayMs: delayMs } = limits;
    this.turns = new PasswordTurns(options.clock, { failuresMax, delayMs });
    const classify = traits.classify.bind(traits);
    this.audits = new SessionAudits({ ...options, classify });
    const fates = new AdminFates(options, admin);
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
    const books = { load: new LoadBook(), turns: new DialTurns() };
    this.shared = { ...options, fates, ...limits, admin, traits, counters, pools, ...books };
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

  /** Of a writer that hands over: how many sessions wait for it to finish a statement by itself, or one of a block. */
  remainingOn(instance: string): { readonly statements: number; readonly blocks: number } {
    const left = [...this.sessions.all].flatMap(({ session }) =>
      session.target.instanceId === instance ? session.remaining : [],
    );
    const count = (what: string): number => left.filter((one) => one === what).length;
    return { statements: count("statement"), blocks: count("block") };
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
    return this.counters.figures({
      sessions,
      unauthenticated: this.doorman.count,
      loginsSlowed: this.turns.slowedCount,
      auditLost: this.options.auditor?.lostCount ?? 0,
      ...this.pools.sight,
    });
  }

  get unauthenticatedCount(): number {
    return this.doorman.count;
  }

  /** Where an endpoint listens, by its key, with the port that the system chose for port 0. */
  addressOf(key: string): Address | undefined {
    return this.listeners.get(key)?.listener.address;
  }

  async open(endpoint: Endpoint): Promise<void> {
    const listener = await listen(endpoint.address, (connection) =>
      this.onConnection(endpoint, connection),
    );
    this.listeners.set(endpointKey(endpoint), { endpoint, listener });
  }

  /** Stops listening at one port, and ends the sessions that came in there: 57P01, or 08007 where a commit is under way. */
  async shut(key: string): Promise<void> {
    const { endpoint, listener } = this.listeners.get(key) ?? {};
    if (!endpoint || !listener) return;
    this.listeners.delete(key);
    this.counters.forgetEndpoint(endpoint.id);
    this.doorman.cutOff(endpoint);
    for (const { session, endpoint: at } of this.sessions.all)
      if (at === endpoint) session.terminate(endpointGone(endpoint));
    this.visits.terminate(endpointGone(endpoint), endpoint);
    await listener.close();
  }

  /** Whether it is listened at still, and has not been opened anew since. */
  private isOpen(endpoint: Endpoint): boolean {
    return !this.isClosing && this.listeners.get(endpointKey(endpoint))?.endpoint === endpoint;
  }

  /** Stops listening, and ends every session: 57P01, or 08007 where a commit is under way. */
  async close(): Promise<void> {
    this.isClosing = true;
    this.stopWatching();
    await Promise.all([...this.listeners.values()].map(({ listener }) => listener.close()));
    this.doorman.close();
    this.turns.close();
    for (const { session } of this.sessions.all) session.terminate(shutdown);
    this.visits.terminate(shutdown);
    this.pools.close();
    await this.admin.close();
    this.audits.close();
  }

  private onConnection(endpoint: Endpoint, connection: Connection): void {
    if (!this.doorman.letIn(endpoint, connection)) return;
    this.serve(endpoint, connection)
      .catch((error: unknown) => {
        this.options.logger.error({ event: "session.broken", endpoint: endpoint.id, err: error });
        connection.end(encodeError(error, "FATAL"));
      })
      .finally(() => this.doorman.leave(connection));
  }

  private async serve(endpoint: Endpoint, connection: Connection): Promise<void> {
    const deps: LoginDeps = {
      ...this.options,
      ...this.limits,
      admin: this.admin,
      tls: this.tls,
      requiresTls: this.options.tls?.mode === "require",
      mockSecret: this.mockSecret,
      turns: this.turns,
      loopback: endpoint.loopback,
    };
    const login = new LoginConversation(connection, deps);
    this.doorman.accompany(connection, () => login.standing);
    const opening = await login.run();
    if (opening.kind === "cancel") {
      await this.cancel(opening.pid, opening.key);
      connection.end();
      this.linger(connection);
      return;
    }
    if (opening.kind === "refused") {
      this.counters.loginRefused();
      this.audits.refused(endpoint, connection, opening);
      this.linger(connection);
      return;
    }
    this.doorman.leave(connection);
    const audit = this.audits.begin(endpoint, connection, opening);
    const ended = (): void => audit?.ended();
    if (opening.wishes.database === adminDatabaseName) {
      if (this.isOpen(endpoint)) return this.visits.begin(endpoint, connection, opening, ended);
      connection.end(this.farewell(this.whyNobody(endpoint)));
      this.linger(connection);
      ended();
    } else if (!(await this.connectBackend(endpoint, connection, opening, audit))) ended();
  }

  /** A client that was told goodbye has a moment to read it; what it sends is dropped. */
  private linger(connection: Connection): void {
    connection.onData(() => undefined);
    connection.onEnd(() => connection.destroy());
    this.options.clock.after(2_000, () => connection.destroy());
  }

  /** False: there is no session. */
  private async connectBackend(
    endpoint: Endpoint,
    client: Connection,
    login: LoggedIn,
    audit: SessionAudit | undefined,
  ): Promise<boolean> {
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
      return false;
    }
    const mayRead = endpoint.type !== "writer";
    const link = audit?.linkTo(client) ?? client;
    const forwarding = mayRead ? this.forwardingFor(link, client, login, endpoint) : undefined;
    const session = await openSession(shared, arrival, {
      client: forwarding?.link ?? link,
      backend: start,
      pooling,
      onEnd: (ended) => {
        this.sessions.forget(ended);
        audit?.ended();
      },
      ...(forwarding && { adapt: (world) => forwarding.adapt(world) }),
    });
    if (!session) return false;
    this.remember(session, { endpoint, login, client, forwarding });
    audit?.started(session, login.rest);
    if (forwarding) forwarding.start(session, login.rest);
    else session.start(login.rest);
    return true;
  }

  /** `link`: what it has for its client. */
  private forwardingFor(
    link: ClientLink,
    client: Connection,
    login: LoggedIn,
    endpoint: Endpoint,
  ): Forwarding {
    const { shared } = this;
    return new Forwarding({
      ...shared,
      client: link,
      mayLeadToWriter: endpoint.type === "reader",
      acknowledgedOn: (target) => shared.admin.acknowledgedLsn(target),
      replayedOn: (target) => shared.admin.replayedLsn(target),
      openWriter: async (side, { withinMs, isWanted }) => {
        const session = await openAtWriter(shared, login, {
          client: side,
          clientKey: this.options.entropy.bytes(32),
          withinMs,
          isWanted: () => isWanted() && this.isOpen(endpoint),
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
      case "instance": {
        const target = endpoint.instanceId && topology.instance(endpoint.instanceId);
        return target && !topology.isLeaving(target) ? target : undefined;
      }
    }
  }

  /** A session whose PostgreSQL has stopped, or is no writer any more, goes on with another. */
  private onTopologyChange(): void {
    const { topology } = this.options;
    const isRewinding = topology.isRewinding();
    const begins = isRewinding && !this.wasRewinding;
    this.wasRewinding = isRewinding;
    for (const { session } of this.sessions.all) {
      if (begins) session.terminate(rewound);
      else if (topology.hasEnded(session.target)) session.retire();
      else session.noteLeaving();
    }
    this.pools.retire((target) => begins || isOut(topology, target));
    this.admin.hangUp((target) => isGone(topology, target));
  }

  private async cancel(pid: number, key: Buffer): Promise<void> {
    const found = this.sessions.find(pid, key);
    if (!found || found.forwarding?.cancelWait() === true) return;
    await cancelSession(found.forwarding?.active ?? found.session, this.shared);
  }
}
