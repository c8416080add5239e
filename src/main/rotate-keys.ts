import { BorealisError } from "../base/errors.ts";
import type { Rotation } from "../cluster/index.ts";
import { encodeDataKeys } from "../keys/index.ts";
import type { ManagedProcess } from "./managed-process.ts";
import type { VolumeKeys } from "./volume-keys.ts";

const switchTimeoutMs = 5_000;

/**
 * Changes the volume's keys on disk, then tells every node that runs. One that cannot be told goes on with the key that
 * it has, which stays readable, and is given the new one when it starts.
 */
export async function rotateKeys(
  keys: VolumeKeys,
  whom: {
    readonly nodes: readonly ManagedProcess[];
    /** Keeper and agents: they have to read what others write with the new key. */
    readonly readers: readonly ManagedProcess[];
    readonly isMaster: boolean;
  },
): Promise<Rotation> {
  const { nodes, readers, isMaster } = whom;
  await (isMaster ? keys.rotateMaster() : keys.rotate());
  const given = encodeDataKeys(keys.dataKeys);
  const switched: string[] = [];
  const waiting: string[] = [];
  // First, so that none of them meets an object of a key that it has not heard of; one that is away gets it at its start.
  await Promise.allSettled(readers.map((one) => one.ask("setKeys", given, switchTimeoutMs)));
  await Promise.all(
    nodes.map(async (node) => {
      try {
        await node.ask("setKeys", given, switchTimeoutMs);
        switched.push(node.name);
      } catch (error) {
        if (!(error instanceof BorealisError)) throw error;
        waiting.push(node.name);
      }
    }),
  );
  return { current: given.current, switched: switched.toSorted(), waiting: waiting.toSorted() };
}
