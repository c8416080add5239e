import type { InstanceId } from "../base/ids.ts";
import type { Clock, Entropy, Logger, PlainAddress, TlsIdentity } from "../io/index.ts";
import type { AdminDatabase } from "./admin-visit.ts";
import type { Auditor } from "./auditor.ts";
import type { AwaitDurable } from "./durability-shell.ts";
import type { Admission } from "./doorman-shell.ts";
import type { PoolSettings } from "./pool-options-shell.ts";
import type { PoolMode } from "./pooled-server-shell.ts";
import type { ReadGates } from "./read-gate-shell.ts";
import type { TokenLogins } from "./token-logins.ts";
import type { EndpointType, Topology } from "./topology.ts";

/** One listening port. */
export interface Endpoint {
  readonly id: string;
  readonly type: EndpointType;
  readonly address: PlainAddress;
  /** Of type instance. */
  readonly instanceId?: InstanceId;
  /** A further address of the endpoint of that id, by which its clients tell instances apart: SQL tells such sessions so. */
  readonly loopback?: string;
}

/** Names one listening port among all. */
export function endpointKey({ id, loopback }: Pick<Endpoint, "id" | "loopback">): string {
  return loopback === undefined ? id : `${id}@${loopback}`;
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
  /** ... of one address. */
  readonly unauthenticatedPerAddressMax: number;
  /** Connections of one address in a second, in the long run; 0: as many as there are. */
  readonly connectionsPerSecond: number;
  /** ... at once, of an address that has been quiet. */
  readonly connectionsBurst: number;
  /** So many wrong passwords of an address are told at once. */
  readonly failuresMax: number;
  /** ... and each further one after so long; in so long one is forgiven. 0: all are told at once. */
  readonly failureDelayMs: number;
}

export const defaultLimits: EndpointLimits = {
  authenticationTimeoutMs: 60_000,
  holdTimeoutMs: 30_000,
  journalBytesMax: 1024 * 1024,
  unauthenticatedMax: 2_000,
  unauthenticatedPerAddressMax: 1_000,
  connectionsPerSecond: 1_000,
  connectionsBurst: 5_000,
  failuresMax: 50,
  failureDelayMs: 3_000,
};

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
  /** Whether, and how, sessions share server connections; off unless told. */
  readonly pooling?: Partial<PoolingOptions>;
  /** Serves the database `borealis`; without it nobody gets in there. */
  readonly adminDatabase?: AdminDatabase;
  /** Who is a member of rds_iam logs in by it; without it by password, as everybody. */
  readonly tokenLogins?: TokenLogins | undefined;
  /** From where clients may come; from everywhere without it. */
  readonly admission?: Admission | undefined;
  readonly auditor?: Auditor | undefined;
}

export interface PoolingOptions extends PoolMode, PoolSettings {
  /** In place of what an instance says that it takes; for tests. */
  readonly maxConnections?: number;
}

export const poolDefaults: PoolMode & PoolSettings = {
  mode: "off",
  endpoints: [],
  maxConnectionsPercent: 90,
  borrowTimeoutMs: 120_000,
  idleTimeoutMs: 600_000,
};
