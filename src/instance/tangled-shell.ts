import { unstampCache } from "../engine/index.ts";
import type { AgentConfig } from "./messages.ts";

/**
 * PostgreSQL on a cache in which one segment has several timelines, killed while it received the newest one's file anew: it
 * ends so at each start, for ever. The volume has all of it.
 */
const tangled = /belongs to timeline \d+, but previous recovered WAL file came from timeline/;

/** Such a cache is not started again: it is built anew. `problem`: what PostgreSQL ended with. */
export async function leaveTangled(
  { instanceDir }: Pick<AgentConfig, "instanceDir">,
  problem: string,
): Promise<void> {
  if (tangled.test(problem)) await unstampCache(instanceDir);
}
