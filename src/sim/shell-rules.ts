import { type Rules, trueRules } from "../quorum/index.ts";

/**
 * What the shells decide and no core does, so that a mutant can break it here: the shipped shells do these things by
 * themselves, and the simulator's processes, which stand in for them, ask.
 */
export interface SimRules extends Rules {
  /** A reader that a backtrack has passed: is it rebuilt? (M22) */
  mustRebuild(): boolean;
  /** Are results of the writer held until a gate passes? (M36) */
  isGated(): boolean;
  /** Is a failed sync the end of the node's disk? (M32) */
  isSyncFailureFinal(): boolean;
  /** Does a node with a new empty disk get a new identity? (M33) */
  hasNewIdentity(): boolean;
  /** Is half a frame at the log's end told from a whole one? (M27) */
  tellsTornFrame(): boolean;
  /** Is rot told from a torn tail? (M28) */
  tellsRot(): boolean;
}

export const trueSimRules: SimRules = Object.freeze<SimRules>({
  ...trueRules,
  mustRebuild: () => true,
  isGated: () => true,
  isSyncFailureFinal: () => true,
  hasNewIdentity: () => true,
  tellsTornFrame: () => true,
  tellsRot: () => true,
});
