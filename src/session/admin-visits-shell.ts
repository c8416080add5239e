import { BorealisError, sqlState } from "../base/errors.ts";
import type { Connection, Entropy } from "../io/index.ts";
import { encodeError } from "../wire/index.ts";
import type { AdminDatabase, AdminVisitor } from "./admin-visit.ts";
import type { Endpoint } from "./endpoint-options.ts";
import type { LoggedIn } from "./login-shell.ts";

/** More look at the cluster by `GET /metrics`. */
const visitorsMax = 100;

const tooMany = new BorealisError(
  sqlState.tooManyConnections,
  `the admin database takes ${visitorsMax} connections at most`,
);

export interface AdminVisitsOptions {
  readonly adminDatabase?: AdminDatabase;
  readonly entropy: Entropy;
}

/** Clients of the admin database that came in at the endpoints of this process. They are no sessions: none of them has a server. */
export class AdminVisits {
  private readonly options: AdminVisitsOptions;
  private readonly linger: (client: Connection) => void;
  private readonly visitors = new Map<Connection, { visitor?: AdminVisitor; at: Endpoint }>();

  constructor(options: AdminVisitsOptions, linger: (client: Connection) => void) {
    this.options = options;
    this.linger = linger;
  }

  /** Hands over a client that has logged in. `onEnd`: it is gone, or was not taken. */
  begin(at: Endpoint, client: Connection, login: LoggedIn, onEnd: () => void): void {
    const { adminDatabase, entropy } = this.options;
    if (!adminDatabase || this.visitors.size >= visitorsMax) {
      client.end(encodeError(tooMany, "FATAL"));
      this.linger(client);
      onEnd();
      return;
    }
    const { wishes, rest, minor, proof } = login;
    const { user, database, settings } = wishes;
    const entry: { visitor?: AdminVisitor; at: Endpoint } = { at };
    this.visitors.set(client, entry);
    entry.visitor = adminDatabase.serve({
      client,
      user,
      proof,
      remote: client.remote,
      database,
      rest,
      wishes: settings,
      // Positive, as PostgreSQL's are.
      pid: entropy.bytes(4).readUInt32BE(0) >>> 1,
      key: entropy.bytes(minor >= 2 ? 32 : 4),
      linger: () => this.linger(client),
      onEnd: () => {
        this.visitors.delete(client);
        onEnd();
      },
    });
  }

  /** Ends those of an endpoint; of all without one. */
  terminate(error: BorealisError, of?: Endpoint): void {
    for (const { visitor, at } of this.visitors.values())
      if (of === undefined || at === of) visitor?.terminate(error);
  }
}
