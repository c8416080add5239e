import type { ExtentSealer } from "./extent-sealer-shell.ts";
import type { SnapshotFile, SnapshotManifest } from "./manifest.ts";
import { extentObject } from "./object-names.ts";
import type { Piece } from "./pieces.ts";
import type { Replicas } from "./replicas-shell.ts";

/** A file of a snapshot, whole in memory: for small ones. Raises what the stores raise, XX001 for what is damaged. */
export async function readSnapshotFile(
  replicas: Pick<Replicas, "get">,
  file: SnapshotFile,
  sealer: ExtentSealer,
): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for (const piece of file.pieces) pieces.push(await readPiece(replicas, piece, sealer));
  return Buffer.concat(pieces);
}

/** The log that a snapshot brought along, from front to back; none if it brought none. Raises as readSnapshotFile does. */
export async function* readSnapshotLog(
  replicas: Pick<Replicas, "get">,
  { log }: Pick<SnapshotManifest, "log">,
  sealer: ExtentSealer,
): AsyncGenerator<Buffer> {
  for (const piece of log?.pieces ?? []) yield await readPiece(replicas, piece, sealer);
}

async function readPiece(
  replicas: Pick<Replicas, "get">,
  { extent, at, lengthBytes }: Piece<string>,
  sealer: ExtentSealer,
): Promise<Buffer> {
  if (extent === undefined) return Buffer.alloc(lengthBytes);
  const plain = await replicas.get(extentObject(extent), (sealed) =>
    sealer.openExtent(extent, sealed),
  );
  return plain.subarray(at, at + lengthBytes);
}
