import type { InstanceId } from "../base/ids.ts";
import type { PgAddress } from "../wire/index.ts";

/** One PostgreSQL that takes sessions. */
export interface Target {
  readonly instanceId: InstanceId;
  readonly role: "writer" | "reader";
  readonly address: PgAddress;
  /** Differs after every start of its PostgreSQL. */
  readonly incarnation: string;
}

/** Who is what at this moment; only instances that may take sessions are given. Asked at each connection. */
export interface Topology {
  writer(): Target | undefined;
  /** An available reader, in turn; the writer if there is none. */
  reader(): Target | undefined;
  instance(id: InstanceId): Target | undefined;
  /** Calls `fn` after each change, until the returned function is called. */
  onChange(fn: () => void): () => void;
}

/**
 * The writer's log, as its agent knows it. Both take the position at the moment of the call and resolve when VDL has
 * passed it; they reject with OutcomeUnknown when it never will (the writer is gone, or no writer any more).
 */
export interface AwaitDurable {
  untilFlushed(instanceId: InstanceId): Promise<void>;
  untilInserted(instanceId: InstanceId): Promise<void>;
}

export type EndpointType = "writer" | "reader" | "instance";
