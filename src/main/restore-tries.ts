/** A restore's snapshot may be damaged: the same end of the log is reached from another one, or with the volume's own log. */
import { BorealisError, sqlState } from "../base/errors.ts";
import { type Replicas, type SnapshotManifest, TriedReplicas } from "../volume/index.ts";
import { olderPoint, othersThan, overVolumeLog, type RestorePoint } from "./restore-point.ts";
import type { RestoreSource } from "./restore-source.ts";

export interface PassedOver {
  readonly snapshot: string;
  readonly reason: string;
}

type Reader = Pick<Replicas, "get">;

export interface Tries<Laid> {
  readonly source: RestoreSource;
  readonly point: RestorePoint;
  /** Puts the snapshot's files where there is nothing; what is wrong with them is raised as `replicas` raise it. */
  unpack(point: RestorePoint, replicas: Reader): Promise<void>;
  /** Puts the log that the snapshot brought over them, likewise. */
  layOwnLog(point: RestorePoint, replicas: Reader): Promise<Laid>;
  /** That one will not do. What it has made goes. */
  giveUp(passed: PassedOver): Promise<void>;
}

export interface Tried<Laid> {
  /** What it was in the end. */
  readonly point: RestorePoint;
  readonly passedOver: readonly PassedOver[];
  /** Undefined: its log is the volume's, or none. */
  readonly ownLog: Laid | undefined;
}

const ofLog = "the log that it brought: ";

/**
 * One after the other, until one is whole: with more log behind it an older one leads to the same moment. Raises what is wrong
 * with the first one if none will do, and what else there is.
 */
export async function makeOfSome<Laid>(tries: Tries<Laid>): Promise<Tried<Laid>> {
  const { source } = tries;
  const replicas = new TriedReplicas(source.replicas);
  const lacks = (manifest: SnapshotManifest): boolean => replicas.lacks(manifest);
  const passedOver: PassedOver[] = [];
  let { point } = tries;
  let first: BorealisError | undefined;
  for (;;) {
    let isUnpacked = false;
    try {
      await tries.unpack(point, replicas);
      isUnpacked = true;
      const ownLog = point.log === "snapshot" ? await tries.layOwnLog(point, replicas) : undefined;
      return { point, passedOver, ownLog };
    } catch (error) {
      if (!replicas.isOfSnapshot(error)) throw error;
      first ??= error;
      const reason = isUnpacked ? `${ofLog}${error.message}` : error.message;
      passedOver.push({ snapshot: point.snapshot, reason });
      await tries.giveUp({ snapshot: point.snapshot, reason });
    }
    const ids = new Set(passedOver.map(({ snapshot }) => snapshot));
    const sameOne = isUnpacked ? overVolumeLog(source, point) : undefined;
    const next = sameOne ?? (await olderPoint(source, point, { ids, lacks }));
    if (!next) throw await nothingElse(source, { passedOver, first });
    point = next;
  }
}

async function nothingElse(
  source: RestoreSource,
  {
    passedOver: [passed],
    first,
  }: { readonly passedOver: readonly PassedOver[]; readonly first: BorealisError },
): Promise<BorealisError> {
  const { snapshot = "", reason = "" } = passed ?? {};
  const others = await othersThan(source, snapshot);
  // A store that does not answer now may have it: its own way out comes first. Of what is damaged there is no other.
  const isAway = first.code === sqlState.ioError && first.hint !== undefined;
  return new BorealisError(first.code, `snapshot ${snapshot} cannot be used: ${reason}`, {
    hint: isAway ? `${first.hint}; or ${others}` : others,
    cause: first,
  });
}

/** For people: what was wrong, and that nothing is missing for it. */
export function passedOverLines({
  passedOver,
  point,
}: Pick<Tried<unknown>, "passedOver" | "point">): string[] {
  if (passedOver.length === 0) return [];
  const { snapshot, base } = point;
  const used = passedOver.some((one) => one.snapshot === snapshot)
    ? base.kind === "genesis"
      ? "the image that the volume was born with"
      : `${snapshot} itself`
    : snapshot;
  return [
    ...passedOver.map((one) => `snapshot ${one.snapshot} could not be used: ${one.reason}`),
    `${used} was, with the log behind it: nothing is missing`,
  ];
}
