import type { InstanceStatus, PulseReport } from "./messages.ts";

/** What a role knows of itself for the instance's status. */
export interface RoleFacts {
  readonly state: InstanceStatus["state"];
  readonly isAdmitted: boolean;
  readonly postgresPid: number | undefined;
  readonly epoch: number;
  readonly timeline: number;
  readonly vdl: string | undefined;
  readonly replayLsn: string | undefined;
  readonly lagMs: number | undefined;
  readonly hasQuorum: boolean;
  /** Reader: from where it would read if it started anew. */
  readonly restartLsn?: string | undefined;
  /** Reader: made ready for a backtrack to here. */
  readonly stagedAt?: string | undefined;
  /** Writer: as soon as it is known. */
  readonly opening?: InstanceStatus["opening"];
  /** Reader: log that its PostgreSQL has. */
  readonly receivedLsn?: string | undefined;
  /** Reader: as its PostgreSQL told last. */
  readonly feedback?: { readonly xmin: number; readonly xminEpoch: number } | undefined;
}

/**
 * How a role ends: asked to, and the cache is to outlive a restart of the machine; asked to, for another role (with a
 * shutdown checkpoint, but nothing is synced); or because something of it broke.
 */
export type StopKind = "clean" | "handOver" | "immediate";

/** Who keeps a role. */
export interface RoleOwner {
  /** Something of it has ended by itself: its PostgreSQL, its driver, its feed. */
  onBroke(error: unknown): void;
  /** There is something to tell that others wait for. */
  onNews(): void;
}

/** What a role says of its PostgreSQL's life, if there is a role. */
type Pulsing =
  | { readonly kind: "none" }
  | { readonly kind: "reader"; readonly role: { silentMs(): number } }
  | {
      readonly kind: "writer";
      readonly role: { silentMs(): number | undefined; standstillMs(): number };
    };

export function pulseOf(of: Pulsing): PulseReport {
  if (of.kind === "none") return { silentMs: 0, standstillMs: 0 };
  const standstillMs = of.kind === "writer" ? of.role.standstillMs() : 0;
  return { silentMs: of.role.silentMs() ?? 0, standstillMs };
}
