import type { InstanceStatus } from "../instance/index.ts";
import type { LifeRecord } from "./state.ts";

/** No session asks for a transaction of so long ago. */
const livesMax = 64;

/** Names a life of an instance's PostgreSQL among those of the instance. */
export function incarnationOf(status: InstanceStatus | undefined): string {
  return `${status?.agentPid}.${status?.incarnation}`;
}

/** ... and among those of all, as Target names it. */
export function lifeOf(status: InstanceStatus): string {
  return `${status.id}.${incarnationOf(status)}`;
}

/**
 * The lives with the one that `status` tells of; the same array if there is nothing new. They have no gap: if the log that
 * the new life goes on from has bytes of an epoch that is not among them, somebody took xids whom nobody recorded, and
 * what came before cannot be told any more. `isReturn`: a backtrack is undone, and brings back transactions that cutoffs
 * since then deny.
 */
export function withLife(
  lives: readonly LifeRecord[],
  status: InstanceStatus,
  { isReturn }: { readonly isReturn: boolean },
): readonly LifeRecord[] {
  const { opening } = status;
  const newest = lives.at(-1);
  if (!opening || (newest && opening.epoch <= newest.epoch)) return lives;
  const { epoch, nextXid: cutoff, postmaster, previous } = opening;
  const life = { incarnation: lifeOf(status), epoch, cutoff, postmaster };
  const isGapless = previous !== null && lives.some((one) => one.epoch === previous);
  return isGapless && !isReturn ? [...lives, life].slice(-livesMax) : [life];
}

/** Whether it may take sessions: nobody could tell the fates of transactions of a life that is not recorded. */
export function isRecorded(
  lives: readonly LifeRecord[] | undefined,
  status: Pick<InstanceStatus, "epoch">,
): boolean {
  return lives?.some((life) => life.epoch === status.epoch) ?? false;
}
