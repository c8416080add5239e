import type { InstanceId } from "../base/ids.ts";
import type { PgAddress } from "../wire/index.ts";
import type { WriterLife } from "./fate.ts";

/** One PostgreSQL that takes sessions. */
export interface Target {
  readonly instanceId: InstanceId;
  readonly role: "writer" | "reader";
  readonly address: PgAddress;
  /** Differs after every start of its PostgreSQL. */
  readonly incarnation: string;
}

/** What one of several instances is chosen by. */
export interface Choice {
  /** Sessions that it has, or is about to have. */
  loadOf(id: InstanceId): number;
  /** It did not answer lately: only if there is no other. */
  isSuspect(target: Target): boolean;
  /** The session has just been lost with this life of it: not even if there is no other. */
  isLost(target: Target): boolean;
}

/** Who is what at this moment; only instances that may take sessions are given. Asked at each connection. */
export interface Topology {
  writer(): Target | undefined;
  /** The least busy of the available readers; the writer if there is none. */
  reader(choice?: Choice): Target | undefined;
  /** The least busy of a custom endpoint's available members. */
  custom(endpoint: string, choice: Choice): Target | undefined;
  /** Why a custom endpoint leads to nobody, for people; asked when it does not. */
  whyNobody(endpoint: string): string | undefined;
  instance(id: InstanceId): Target | undefined;
  /** True if its PostgreSQL has ended or has another role now; false also while nobody knows. */
  hasEnded(target: Target): boolean;
  /** A writer that hands over to another, or is to be started again: what runs there may end, nothing more begins. */
  isLeaving(target: Target): boolean;
  /** A reader that answers nothing: who is there is to go on elsewhere, and nobody new is sent there. It may come back as it is. */
  isSilent(target: Target): boolean;
  /** Who has been the writer, and from which xid on: for fateOf. Told before the newest of them takes sessions. */
  lives(): readonly WriterLife[];
  /** True while the cluster is set back to an earlier moment: no session may go on from before it to after it. */
  isRewinding(): boolean;
  /** Calls `fn` after each change, until the returned function is called. */
  onChange(fn: () => void): () => void;
}

/** No answer of it is to be waited for: it has ended, or hangs. A writer that was given up may do both. */
export function isGone(topology: Topology, target: Target): boolean {
  return topology.hasEnded(target) || topology.isSilent(target);
}

/** Nothing more is to begin there: it is gone, or about to stop. */
export function isOut(topology: Topology, target: Target): boolean {
  return isGone(topology, target) || topology.isLeaving(target);
}

export type EndpointType = "writer" | "reader" | "instance" | "custom";
