import { type Lsn, lsnMaxOf, lsnZero } from "../base/lsn.ts";
import type { Clock } from "../io/index.ts";
import { type History, lastEpoch, type State } from "../quorum/index.ts";
import { FeedView } from "./feed-view.ts";
import { inspectNode } from "./inspect-shell.ts";
import type { LinkOwner, NodeEndpoint } from "./node-endpoint.ts";

/** The volume as its nodes show it, each a moment ago. */
export interface VolumeSight {
  /** Of the newest epoch that is known to be open; while none is, that of the newest log. */
  readonly path: History;
  /** A lower bound; 0 while no node has heard of one since it started. */
  readonly vdl: Lsn;
  /** At least half of those that answered have log from here on. */
  readonly base: Lsn;
  /** End of the longest log on the newest path. */
  readonly end: Lsn;
}

/** Asks all nodes, and waits for all of them as long as `timeoutMs`. Undefined: none answered. */
export async function inspectVolume(
  nodes: readonly NodeEndpoint[],
  owner: LinkOwner,
  bounds: { readonly clock: Clock; readonly timeoutMs: number; readonly signal?: AbortSignal },
): Promise<VolumeSight | undefined> {
  const answers = await Promise.all(nodes.map((node) => inspectNode(node, owner, bounds)));
  return sightOf(answers.filter((one) => one !== undefined));
}

function sightOf(states: readonly State[]): VolumeSight | undefined {
  // The newest first: what an older one says of VDL may have been taken back by a backtrack since.
  const newestFirst = states.toSorted((a, b) => lastEpoch(b.history) - lastEpoch(a.history));
  const [newest] = newestFirst;
  if (!newest) return undefined;
  const view = new FeedView();
  for (const state of newestFirst) view.learn(state);
  const onNewest = states.filter(({ history }) => lastEpoch(history) === lastEpoch(newest.history));
  const bases = states.map(({ base }) => base).toSorted((a, b) => (a < b ? -1 : a > b ? 1 : 0));
  return {
    path: view.isKnown ? view.visiblePath() : newest.history,
    vdl: view.vdl,
    base: bases[Math.floor((bases.length - 1) / 2)] ?? lsnZero,
    end: onNewest.reduce((most: Lsn, { scl }) => lsnMaxOf(most, scl), lsnZero),
  };
}
