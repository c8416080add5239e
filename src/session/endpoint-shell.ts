import { timingSafeEqual } from "node:crypto";
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { InstanceId } from "../base/ids.ts";
import {
  type Address,
  type Clock,
  type Connection,
  dial,
  type Entropy,
  listen,
  type Listener,
  type Logger,
  openTlsServer,
  type TlsIdentity,
  type TlsServer,
  type PlainAddress,
} from "../io/index.ts";
import { loadParser } from "../route/index.ts";
import { encodeCancelRequest, encodeError, pgSocketPath } from "../wire/index.ts";
import { AdminSessions, noInstance } from "./admin-shell.ts";
import type { AwaitDurable } from "./durability-shell.ts";
import { AdminFates } from "./fates-shell.ts";
import type { Outcome } from "./action.ts";
import { Outcomes } from "./outcomes.ts";
import { endpointGone, rewound, shutdown } from "./farewells.ts";
import { LoadBook } from "./load-book.ts";
import { type LoggedIn, LoginConversation, type LoginDeps } from "./login-shell.ts";
import type { Session } from "./session-shell.ts";
import { openAtWriter, openSession } from "./open-session-shell.ts";
import { Forwarding } from "./forwarding-shell.ts";
import { type Arrival, type SharedWorld, startServer } from "./session-world-shell.ts";
import type { ReadGates } from "./read-gate-shell.ts";
import type { Choice, EndpointType, Target, Topology } from "./topology.ts";
import { TraitsBook } from "./traits-shell.ts";

/** One listening port. */
export interface Endpoint {
  readonly id: string;
  readonly type: EndpointType;
  readonly address: PlainAddress;
  /** Of type instance. */
  readonly instanceId?: InstanceId;
}

export interface EndpointLimits {
  /** A client that is not logged in after so long is dropped; 60 s, as PostgreSQL's authentication_timeout. */
  readonly authenticationTimeoutMs: number;
  /** How long a new connection waits while there is no instance for it, and a result while the writer's gate is closed. */
  readonly holdTimeoutMs: number;
  /** Of a transaction's messages so much is kept, to run it again; 1 MiB. */
  readonly journalBytesMax: number;
  /** Connections that are not logged in yet, over all endpoints; further ones are turned away. */
  readonly unauthenticatedMax: number;
}

const defaultLimits: EndpointLimits = {
  authenticationTimeoutMs: 60_000,
  holdTimeoutMs: 30_000,
  journalBytesMax: 1024 * 1024,
  unauthenticatedMax: 1_000,
};

const cancelTimeoutMs = 5_000;

export interface EndpointsOptions {
  readonly endpoints: readonly Endpoint[];
  /** Undefined: no TLS. */
  readonly tls: (TlsIdentity & { readonly mode: "prefer" | "require" }) | undefined;
  readonly topology: Topology;
  readonly awaitDurable: AwaitDurable;
  /** Undefined: what a writer says is told at once (gate.mode off). */
  readonly gates: ReadGates | undefined;
  readonly clock: Clock;
  readonly entropy: Entropy;
  readonly logger: Logger;
  readonly limits?: Partial<EndpointLimits>;
}

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
  private readonly outcomes = new Outcomes();
  private readonly shared: SharedWorld;
  private readonly mockSecret: Buffer;
  private readonly listeners = new Map<string, { endpoint: Endpoint; listener: Listener }>();
  private readonly sessions = new Map<number, Set<Session>>();
  private readonly endpointOf = new WeakMap<Session, Endpoint>();
  private readonly forwardingOf = new WeakMap<Session, Forwarding>();
  private readonly unauthenticated = new Map<Connection, Endpoint>();
  private readonly stopWatching: () => void;
  private count = 0;
  private isClosing = false;
  private wasRewinding = false;

  constructor(options: EndpointsOptions) {
    this.options = options;
    this.limits = { ...defaultLimits, ...options.limits };
    this.tls = options.tls && openTlsServer(options.tls);
    this.admin = new AdminSessions(options);
    this.traits = new TraitsBook(this.admin, options.clock, options.logger);
    const { admin, traits, outcomes } = this;
    const fates = new AdminFates(options, admin);
    const load = new LoadBook();
    this.shared = { ...options, fates, ...this.limits, admin, traits, outcomes, load };
    this.mockSecret = options.entropy.bytes(32);
    this.stopWatching = options.topology.onChange(() => this.onTopologyChange());
  }

  get sessionCount(): number {
    return this.count;
  }

  /** How losses of servers ended for sessions. */
  get outcomeCounts(): Readonly<Record<Outcome, number>> {
    return this.outcomes.all;
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
    for (const [connection, at] of this.unauthenticated) if (at === endpoint) connection.destroy();
    for (const sessions of this.sessions.values()) {
      for (const session of sessions) {
        if (this.endpointOf.get(session) === endpoint) session.terminate(endpointGone(endpoint));
      }
    }
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
    for (const sessions of this.sessions.values()) {
      for (const session of sessions) session.terminate(shutdown);
    }
    await this.admin.close();
  }

  private onConnection(endpoint: Endpoint, connection: Connection): void {
    if (this.unauthenticated.size >= this.limits.unauthenticatedMax) {
      const error = new BorealisError(
        sqlState.tooManyConnections,
        "sorry, too many clients already",
      );
      connection.end(encodeError(error, "FATAL"));
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
      this.options.logger.info({
        event: "login.refused",
        endpoint: endpoint.id,
        remote: connection.remote,
        user,
        reason,
      });
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
    const start = await startServer(shared, arrival, { holdTimeoutMs: limits.holdTimeoutMs });
    if (start.kind !== "ready") {
      const bytes = start.kind === "refused" ? start.bytes : this.whyNobody(endpoint);
      client.end(bytes);
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
      onEnd: (ended) => this.forget(ended),
      ...(forwarding && { adapt: (world) => forwarding.adapt(world) }),
    });
    if (!session) return;
    this.remember(session, endpoint);
    if (forwarding) {
      this.forwardingOf.set(session, forwarding);
      forwarding.start(session, login.rest);
    } else session.start(login.rest);
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
          onEnd: (ended) => this.forget(ended),
        });
        this.remember(session, endpoint);
        return session;
      },
    });
  }

  private whyNobody(endpoint: Endpoint): Buffer {
    if (this.isClosing) return encodeError(shutdown, "FATAL");
    if (!this.isOpen(endpoint)) return encodeError(endpointGone(endpoint), "FATAL");
    const { id, type } = endpoint;
    const why = type === "custom" ? this.options.topology.whyNobody(id) : undefined;
    return encodeError(noInstance(why && `Endpoint ${id}: ${why}.`), "FATAL");
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

  private remember(session: Session, endpoint: Endpoint): void {
    this.endpointOf.set(session, endpoint);
    const same = this.sessions.get(session.pid) ?? new Set();
    this.sessions.set(session.pid, same.add(session));
    this.count++;
  }

  private forget(session: Session): void {
    const same = this.sessions.get(session.pid);
    if (same?.delete(session) !== true) return;
    this.count--;
    if (same.size === 0) this.sessions.delete(session.pid);
  }

  /** A session whose PostgreSQL has stopped, or is no writer any more, goes on with another. */
  private onTopologyChange(): void {
    const isRewinding = this.options.topology.isRewinding();
    const begins = isRewinding && !this.wasRewinding;
    this.wasRewinding = isRewinding;
    for (const sessions of this.sessions.values()) {
      for (const session of sessions) {
        const { target } = session;
        if (begins) session.terminate(rewound);
        else if (this.options.topology.hasEnded(target)) session.retire();
      }
    }
  }

  /**
   * Cancels what the session with this key runs. Not while it waits for the quorum: its statement is over, and
   * PostgreSQL would report success for what can still be lost.
   */
  private async cancel(pid: number, key: Buffer): Promise<void> {
    const found = this.findSession(pid, key);
    const forwarding = found && this.forwardingOf.get(found);
    const session = forwarding?.active ?? found;
    if (!session || forwarding?.cancelWait() === true) return;
    // Between two servers there is nothing to cancel; what is run again may wait for a lock for ever.
    if (!session.survivor.hasServer) return;
    const { target, backendKey: own } = session;
    try {
      if (target.role === "writer" && (await this.admin.waitEvent(target, own.pid)) === "SyncRep")
        return;
      const connection = await dial({ kind: "unix", path: pgSocketPath(target.address) });
      session.survivor.cancelled();
      // PostgreSQL has sent the signal when it closes this connection: what it may still hit is then known.
      const timer = this.options.clock.after(cancelTimeoutMs, () => connection.destroy());
      await new Promise<void>((resolve) => {
        connection.onClose(() => resolve());
        connection.onEnd(() => connection.end());
        connection.onData(() => undefined);
        connection.write(encodeCancelRequest(own.pid, own.key));
      });
      timer.cancel();
      session.survivor.cancelled();
    } catch (error) {
      // A cancel has no answer: the client sees that its statement goes on.
      this.options.logger.warn({ event: "cancel.failed", pid, reason: messageOf(error) });
    }
  }

  private findSession(pid: number, key: Buffer): Session | undefined {
    for (const session of this.sessions.get(pid) ?? []) {
      const { clientKey } = session;
      if (clientKey.length === key.length && timingSafeEqual(clientKey, key)) return session;
    }
    return undefined;
  }
}
