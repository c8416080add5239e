/**
 * What an instance shows in SQL of the cluster: the file that aurora_replica_status() and its kin read. The control plane
 * tells of all instances; of itself an agent knows better.
 */
import { findLsn } from "../base/lsn.ts";
import type { RequestAnswer } from "./fault-messages.ts";
import {
  type AgentConfig,
  type ClusterSight,
  type InstanceSight,
  type InstanceStatus,
  type KeptSight,
  keptSightSchema,
} from "./messages.ts";
import { writerSession } from "./surface-functions.ts";

/** One instance as others are told of it. `heardAtMs`: when that was so, milliseconds since 1970. */
export function instanceSight(
  status: InstanceStatus,
  { isWriter, heardAtMs, address }: Pick<InstanceSight, "isWriter" | "heardAtMs" | "address">,
): InstanceSight {
  const { id, vdl, replayLsn, lagMs, figures } = status;
  return { id, address, isWriter, heardAtMs, vdl, replayLsn, lagMs, figures: figures ?? null };
}

/** What names the owner of a file; see KeptSight. */
export function sightOwner({
  volumeId,
  instance,
}: Pick<AgentConfig, "volumeId" | "instance">): string {
  return `${volumeId}/${instance}`;
}

/**
 * What the file of a former life of `of` tells of the others, with the times when they were heard of; undefined: it is another's,
 * or nothing that can be read. Who wrote then may not write now, and nobody but the control plane knows: all are readers.
 */
export function parseKept(text: string, of: string): KeptSight | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined; // of another version, or what PostgreSQL's user made of it
  }
  const { data } = keptSightSchema.safeParse(value);
  if (data?.of !== of) return undefined;
  const instances = data.instances.map((row) =>
    row.session_id === writerSession ? { ...row, session_id: null } : row,
  );
  return { ...data, instances };
}

/**
 * The file's content. `own` is the status of the instance whose file it is: a writer that has opened its epoch is the only
 * one, and a reader is none, whatever was told before. `told`: undefined until the control plane has been heard, and until
 * then `kept` is shown.
 */
export function sightText(facts: {
  readonly of: string;
  readonly own: InstanceStatus;
  readonly told: ClusterSight | undefined;
  readonly kept: KeptSight | undefined;
  /** To functions that wait. */
  readonly answers?: readonly RequestAnswer[];
  readonly nowMs: number;
}): string {
  const { of, own, told, kept, answers, nowMs } = facts;
  // Who listens there is the control plane's to say.
  const before = kept?.instances.find((row) => row.server_id === own.id)?.["address"];
  const last = typeof before === "string" ? before : null;
  const address = told ? (told.instances.find(({ id }) => id === own.id)?.address ?? null) : last;
  const isWriter = own.role === "writer" && own.epoch > 0;
  const mine = instanceSight(own, { isWriter, heardAtMs: nowMs, address });
  const others = (told?.instances ?? []).filter(({ id }) => id !== own.id);
  const seen = others.map((one) => (isWriter ? { ...one, isWriter: false } : one));
  const left = told ? [] : (kept?.instances ?? []).filter((row) => row.server_id !== own.id);
  const instances = [...left, ...[...seen, mine].map(statusRow)].toSorted((a, b) =>
    compareNames(a.server_id, b.server_id),
  );
  const volume = (told ?? kept)?.volume ?? null;
  const sight: KeptSight = { of, instances, volume };
  return JSON.stringify({ ...sight, answers });
}

/** instance-2 before instance-10. */
function compareNames(a: string, b: string): number {
  return a.length - b.length || (a < b ? -1 : 1);
}

/** The columns of aurora_replica_status() that anything backs; the others are null. */
function statusRow(one: InstanceSight): KeptSight["instances"][number] {
  const { id, isWriter, figures } = one;
  const common = {
    server_id: id,
    address: one.address,
    session_id: isWriter ? writerSession : (figures?.sessionId ?? null),
    is_current: true,
    last_update_timestamp: new Date(one.heardAtMs).toISOString(),
    // AWS's Python wrapper gives up the whole topology at a null.
    cpu: figures?.cpu ?? 0,
  };
  if (isWriter) return { ...common, durable_lsn: decimal(one.vdl) };
  return {
    ...common,
    durable_lsn: decimal(one.replayLsn),
    highest_lsn_rcvd: decimal(figures?.receivedLsn ?? null),
    current_read_lsn: decimal(one.replayLsn),
    feedback_xmin: figures?.feedback?.xmin ?? null,
    feedback_epoch: figures?.feedback?.xminEpoch ?? null,
    replica_lag_in_msec: one.lagMs,
  };
}

/** Text, since numbers of JSON end at 2^53. */
function decimal(lsn: string | null): string | null {
  return findLsn(lsn ?? "")?.toString() ?? null;
}
