/** Where a clone branches off, if not at the end of what is durable. */
import { existsSync } from "node:fs";
import { BorealisError, sqlState } from "../base/errors.ts";
import { formatLsn } from "../base/lsn.ts";
import { realClock } from "../io/index.ts";
import { isOnPath, type Pin } from "../quorum/index.ts";
import { genesisSnapshotId } from "../volume/index.ts";
import { type AskedMoment, parseMoment } from "./moment-text.ts";
import type { Progress } from "./progress.ts";
import { findPoint } from "./restore-point.ts";
import { type ClusterPlace, openClusterSource, type ReachedNodes } from "./restore-source.ts";

export interface BranchPoint {
  /** A record end; null: the end of what is durable. */
  readonly to: string | null;
  /** On which path that was found; undefined: whatever path's end it is. */
  readonly path: Pin["path"] | undefined;
  /** Whether the master user is in it. */
  readonly isBootstrapped: boolean;
}

/** What the nodes of a stopped parent are found by; undefined: it runs. */
export type FindBranch = (nodes: ReachedNodes | undefined) => Promise<BranchPoint>;

/**
 * How to find what `--to` names: a moment T is everything before the first commit later than T (D27), a position the last
 * record end at or below it; each only where the clone finds a snapshot below it. Raises 22023: here for what is neither, when
 * it looks for what lies outside of the window, and says which one there is.
 */
export function branchFinder(
  text: string | undefined,
  { parent, progress }: { readonly parent: ClusterPlace; readonly progress: Progress },
): FindBranch {
  const asked = text === undefined ? undefined : parseMoment(text, "--to", realClock.wallMs());
  const isEnd = !asked || asked.kind === "latest";
  return async (nodes) => {
    const { isBootstrapped } = parent.state;
    const end = { to: null, path: undefined, isBootstrapped };
    const point = isEnd ? end : await findBranch(asked, parent, { nodes, progress });
    progress.begin("keeping the parent's log");
    return point;
  };
}

/**
 * The parent keeps what it has at that LSN when it is asked to, which a backtrack may have made another moment than the one that
 * was found. Raises 55000 then.
 */
export function requireFound(
  { path, to }: Pick<BranchPoint, "path" | "to">,
  pin: Pick<Pin, "path" | "from" | "to">,
): void {
  if (!path) return;
  // At the same record end, or one below: a longer record may lie there now.
  const isSame =
    formatLsn(pin.to) === to && isOnPath(path, pin.path, { from: pin.from, at: pin.to });
  if (isSame) return;
  throw new BorealisError(
    sqlState.notInPrerequisiteState,
    `the parent went back to an earlier moment (backtrack) while the clone was made: at ${to} it has another moment now`,
    { hint: "repeat the command: it looks for the moment again" },
  );
}

async function findBranch(
  asked: AskedMoment,
  parent: ClusterPlace,
  { nodes, progress }: { readonly nodes: ReachedNodes | undefined; readonly progress: Progress },
): Promise<BranchPoint> {
  const source = await openClusterSource(parent, nodes);
  try {
    const { signal } = new AbortController();
    const { point, moment } = await findPoint({ source, progress, signal, verb: "cloned" }, asked);
    const { lastCommit } = moment;
    const { createdAtMs } = source.identity;
    return {
      to: formatLsn(point.end),
      path: source.log.path,
      // A commit from before is initdb's; the first one after it makes the master user, whose password is in a file then.
      isBootstrapped: lastCommit
        ? lastCommit.timeUs >= BigInt(createdAtMs) * 1000n
        : point.snapshot !== genesisSnapshotId || !existsSync(parent.layout.passwordFile),
    };
  } finally {
    await source.close();
  }
}
