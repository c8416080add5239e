import type { ExtentSealer } from "./extent-sealer-shell.ts";
import type { SnapshotFile } from "./manifest.ts";
import { extentObject } from "./object-names.ts";
import type { Replicas } from "./replicas-shell.ts";

/** A file of a snapshot, whole in memory: for small ones. Raises what the stores raise, XX001 for what is damaged. */
export async function readSnapshotFile(
  replicas: Pick<Replicas, "get">,
  file: SnapshotFile,
  sealer: ExtentSealer,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (const { extent, at, lengthBytes } of file.pieces) {
    if (extent === undefined) pieces.push(Buffer.alloc(lengthBytes));
    else {
      const plain = await replicas.get(extentObject(extent), (sealed) =>
        sealer.openExtent(extent, sealed),
      );
      pieces.push(plain.subarray(at, at + lengthBytes));
    }
  }
  return Buffer.concat(pieces);
}
