import { BorealisError, sqlState } from "../base/errors.ts";
import type { Timeline } from "../base/ids.ts";
import type { Lsn } from "../base/lsn.ts";
import type { Clock } from "../io/index.ts";
import type { History } from "../quorum/index.ts";
import { connectReplication, type ReplicationClient } from "../wire/index.ts";
import type { PgTarget } from "./driver-messages.ts";
import { hasBranchPoint, judgeBranch, judgeSystem } from "./writer-identity.ts";

/** That name makes it the synchronous standby (synchronous_standby_names). */
const applicationName = "borealis_log";
/** Without a slot a checkpoint removes log that the driver has not read yet, and every commit hangs for ever. */
const slot = "borealis_log";

export interface AttachOptions {
  readonly target: PgTarget;
  readonly timeline: Timeline;
  readonly history: History;
  /** The stream begins here; PostgreSQL's log must reach `reach`. */
  readonly from: Lsn;
  readonly reach: Lsn;
  readonly clock: Clock;
  readonly signal: AbortSignal;
}

/**
 * Connects to the PostgreSQL that is to write in this epoch, and sees that it is the one: this volume's, on the
 * registered timeline, branched where the epoch begins, with all of the log up to there. Raises 55000 if it is not,
 * 08006 or PostgreSQL's own error if it cannot be asked.
 */
export async function connectWriter(options: AttachOptions): Promise<ReplicationClient> {
  const { target, clock, signal } = options;
  const { address, user } = target;
  const client = await connectReplication({ address, user, applicationName, clock, signal });
  try {
    await checkIdentity(client, options);
    await client.createPhysicalSlot(slot);
    return client;
  } catch (error) {
    client.destroy();
    throw error;
  }
}

export function streamFrom(options: AttachOptions) {
  return { slot, from: options.from, timeline: options.timeline };
}

async function checkIdentity(client: ReplicationClient, options: AttachOptions): Promise<void> {
  const wanted = { ...options, systemId: options.target.systemId };
  const wrong = judgeSystem(await client.identifySystem(), wanted);
  if (wrong !== undefined) throw notTheOne(wrong);
  if (!hasBranchPoint(wanted)) return;
  const { text } = await client.timelineHistory(options.timeline);
  const wrongBranch = judgeBranch(text, wanted);
  if (wrongBranch !== undefined) throw notTheOne(wrongBranch);
}

function notTheOne(why: string): BorealisError {
  const message = `this PostgreSQL cannot write in this epoch: ${why}`;
  return new BorealisError(sqlState.notInPrerequisiteState, message);
}
