import { addressKey, HalfOpenBook, originOf, RateBook, type Standing } from "../access/index.ts";
import { BorealisError, sqlState } from "../base/errors.ts";
import type { Clock, Connection, Logger } from "../io/index.ts";
import { encodeError } from "../wire/index.ts";
import type { Auditor } from "./auditor.ts";
import type { Endpoint, EndpointLimits } from "./endpoint-options.ts";
import { RefusalLog } from "./refusal-log-shell.ts";
import type { RefusedReason, SessionCounters } from "./session-counters.ts";

/** Where clients may come from. */
export interface Admission {
  /** Whether an endpoint takes connections from an address. */
  readonly admits: (endpoint: string, address: string) => boolean;
}

interface Visitor {
  readonly endpoint: Endpoint;
  standing: () => Standing;
}

export interface DoormanOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly counters: SessionCounters;
  readonly limits: EndpointLimits;
  readonly admission?: Admission | undefined;
  readonly auditor?: Auditor | undefined;
}

/** So many that were turned away have a moment to read why; more are cut off. */
const farewellsMax = 500;
const farewellMs = 1_000;

const tooManyClients = new BorealisError(
  sqlState.tooManyConnections,
  "sorry, too many clients already",
  { detail: "Too many connections are logging in at this moment." },
);

/** Lets connections in, or turns them away, before anything of theirs is read; and knows who has not logged in yet. */
export class Doorman {
  private readonly options: DoormanOptions;
  private readonly halfOpen: HalfOpenBook<Connection>;
  private readonly rates: RateBook;
  private readonly visitors = new Map<Connection, Visitor>();
  private readonly turnedAway: RefusalLog;
  private farewells = 0;

  constructor(options: DoormanOptions) {
    this.options = options;
    const { limits, clock, logger, auditor } = options;
    const { unauthenticatedMax: max, unauthenticatedPerAddressMax: perAddressMax } = limits;
    this.halfOpen = new HalfOpenBook(
      { max, perAddressMax },
      (connection) => this.visitors.get(connection)?.standing() ?? "silent",
    );
    const { connectionsPerSecond: perSecond, connectionsBurst: burst } = limits;
    this.rates = new RateBook({ perSecond, burst });
    this.turnedAway = new RefusalLog(clock, { ofKindMax: 1 }, (facts) => {
      logger.info({ event: "connection.refused", ...facts });
      auditor?.record("connection.refused", facts);
    });
  }

  /** Connections that are not logged in yet. */
  get count(): number {
    return this.halfOpen.count;
  }

  /**
   * Whether it may go on; `accompany` tells then how far it is, and `leave` is to be called when it has logged in, or is gone.
   * Else it was told why not.
   */
  letIn(endpoint: Endpoint, connection: Connection): boolean {
    const { admission, counters } = this.options;
    counters.connected(endpoint.id);
    const address = connection.remoteAddress ?? "[local]";
    if (admission?.admits(endpoint.id, address) === false) {
      this.note("notAllowed", endpoint, address);
      this.turnAway(connection, notAllowed(endpoint, address));
      return false;
    }
    if (!this.rates.take(addressKey(address), this.options.clock.nowMs())) {
      this.note("tooOften", endpoint, address);
      this.turnAway(connection, tooOftenFrom(address));
      return false;
    }
    const arrival = this.halfOpen.arrive(connection, originOf(address));
    if (arrival.kind === "refused") {
      this.note("tooMany", endpoint, address);
      this.turnAway(connection, arrival.by === "all" ? tooManyClients : tooManyFrom(address));
      return false;
    }
    this.visitors.set(connection, { endpoint, standing: () => "silent" });
    const { evicted } = arrival;
    if (evicted) {
      const at = this.visitors.get(evicted)?.endpoint ?? endpoint;
      this.note("madeRoom", at, evicted.remoteAddress ?? "[local]");
      this.visitors.delete(evicted);
      evicted.destroy();
    }
    return true;
  }

  /** How far it is, from now on. */
  accompany(connection: Connection, standing: () => Standing): void {
    const visitor = this.visitors.get(connection);
    if (visitor) visitor.standing = standing;
  }

  /** It has logged in, or is gone. */
  leave(connection: Connection): void {
    this.halfOpen.leave(connection);
    this.visitors.delete(connection);
  }

  /** Cuts off those of an endpoint that are not logged in yet; of all without one. */
  cutOff(of?: Endpoint): void {
    for (const [connection, { endpoint }] of this.visitors)
      if (of === undefined || endpoint === of) connection.destroy();
  }

  close(): void {
    this.cutOff();
    this.turnedAway.close();
  }

  private turnAway(connection: Connection, error: BorealisError): void {
    this.options.counters.told(error.code);
    if (this.farewells >= farewellsMax) {
      connection.destroy();
      return;
    }
    this.farewells++;
    connection.onClose(() => this.farewells--);
    connection.end(encodeError(error, "FATAL"));
    // What it has sent and nobody read would have the system cut the connection before it has read this.
    connection.onData(() => undefined);
    connection.onEnd(() => connection.destroy());
    this.options.clock.after(farewellMs, () => connection.destroy());
  }

  private note(reason: RefusedReason, { id: endpoint }: Endpoint, address: string): void {
    this.options.counters.connectionRefused(reason);
    const facts = { reason, endpoint, remote: address };
    this.turnedAway.note(`${reason} ${endpoint} ${addressKey(address)}`, facts);
  }
}

function notAllowed({ id }: Endpoint, address: string): BorealisError {
  return new BorealisError(
    sqlState.invalidAuthorization,
    `endpoint "${id}" takes no connections from ${address}`,
    { hint: "`borealis access list` shows from where it does; `borealis access set` changes it." },
  );
}

function tooManyFrom(address: string): BorealisError {
  return new BorealisError(
    sqlState.tooManyConnections,
    `too many connections from ${address} are logging in`,
    { hint: "Try again; session.unauthenticatedPerAddressMax is how many may." },
  );
}

function tooOftenFrom(address: string): BorealisError {
  return new BorealisError(
    sqlState.tooManyConnections,
    `too many connections from ${address} in a short time`,
    {
      hint: "Try again in a second, or keep connections open; session.connectionsPerSecond and session.connectionsBurst bound them.",
    },
  );
}
