/** Deletes a snapshot where no cluster is left that would: in a store that a deleted one left, or that it was copied to. */
import { BorealisError, messageOf, sqlState } from "../base/errors.ts";
import type { Layout } from "../cluster/index.ts";
import { realClock } from "../io/index.ts";
import { collectExtents, deleteSnapshot, liveSnapshots } from "../volume/index.ts";
import type { CommandReport, Workplace } from "./command-report.ts";
import { readState } from "./data-dir.ts";
import { isOwnStore } from "./object-store.ts";
import { formatBytes } from "./progress-meter.ts";
import { readManifest } from "./restore-point.ts";
import type { RestoreSource } from "./restore-source.ts";
import { openStoreSource, type StorePlace } from "./restore-store-source.ts";
import { isRunning } from "./running.ts";

/** As the keeper: what is younger may be part of a copy that is on its way. */
const graceMs = 3_600_000;

/**
 * Returns when it is gone, and with it what no other snapshot there holds and is older than an hour. Raises 22023 if there is
 * none of that id, 55000 for the own store of the cluster of the data directory, and what the store raises.
 */
export async function snapshotDeleteInStore(
  { layout, progress, signal }: Workplace,
  id: string,
  place: StorePlace,
): Promise<CommandReport> {
  await requireNotOwn(layout, id, place);
  progress.begin("opening the store");
  const source = await openStoreSource(place);
  try {
    const [store] = source.stores;
    if (!store) throw new Error("a store alone is one");
    await requireThere(source, id);
    progress.begin(`deleting snapshot ${id}`);
    const { sealer, deletions } = source;
    const nowMs = realClock.wallMs();
    await deleteSnapshot({ id, stores: [store], deletions, sealer, nowMs });
    progress.begin("collecting what no other one holds");
    const document = { deleted: id, store: place.url, waiting: [] };
    try {
      const { deletedBytes, young } = await collectExtents(store, {
        sealer,
        nowMs,
        graceMs,
        signal,
      });
      progress.end();
      const lines = [
        `snapshot ${id} is deleted in ${place.url}: ${formatBytes(deletedBytes)} given back`,
      ];
      if (young > 0)
        lines.push("  what was put in the last hour goes with the next deletion there");
      return { document: { ...document, deletedBytes, young }, lines };
    } catch (error) {
      if (!(error instanceof BorealisError)) throw error;
      return {
        document: { ...document, deletedBytes: 0, young: null },
        lines: [`snapshot ${id} is deleted in ${place.url}`, `  ${messageOf(error)}`],
      };
    }
  } finally {
    await source.close();
  }
}

/**
 * Only its keeper deletes and collects there: it knows what is on its way into the store, and what the cluster still needs. A tombstone
 * that is put while the cluster is down is spread to all of its stores when it runs.
 */
async function requireNotOwn(layout: Layout, id: string, place: StorePlace): Promise<void> {
  const { url, volume } = place;
  if (readState(layout)?.volumeId !== volume) return;
  if (!(await isOwnStore(layout, volume, place))) return;
  const { dataDir } = layout;
  const how = `borealis snapshot delete ${id} --data-dir ${dataDir}`;
  throw new BorealisError(
    sqlState.notInPrerequisiteState,
    `${url} is the own store of the cluster in ${dataDir}, which deletes its snapshots itself`,
    { hint: isRunning(layout) ? `let it do that: ${how}` : `start it (borealis up), then ${how}` },
  );
}

/** A damaged one can be deleted, too. */
async function requireThere(source: RestoreSource, id: string): Promise<void> {
  const { ids } = await liveSnapshots(source.stores, source.deletions);
  if (!ids.has(id)) await readManifest(source, id);
}
